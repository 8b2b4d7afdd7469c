"""The teacher as a stage: what it depends on, and that a repeat costs nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop import params as parameters
from alignloop.params import ParamsError
from alignloop.params.binding import bind
from alignloop.params.distill import MADE
from alignloop.stages.distill import distill
from alignloop.teacher.plan import DistillError
from tests.chat_server import ChatServer
from tests.teacher.conftest import PROJECT, PROMPTS, asked, write

PlanFile = Callable[..., Path]


def parsed(prompts: str) -> parameters.Params:
    values = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    values["distill"] = {"big": {"plan": "plan.yaml", "prompts": prompts}}
    return parameters.parse(values, "params.yaml")


def run(prompts: str = "prompts.jsonl") -> list[Any]:
    places = ("plan.yaml", prompts, "data/sources/big.jsonl", "big.json")
    return list(bind(distill, parsed(prompts))("big", *map(Path, places)))


def test_a_repeat_costs_nothing_and_a_new_prompt_one_request(
    here: Path, server: ChatServer, plan: PlanFile
) -> None:
    plan(out="data/sources/big.jsonl")
    assert "3 demonstrations in data/sources/big.jsonl" in run()[-1].note
    first = (here / "data" / "sources" / "big.jsonl").read_bytes()
    counts = (here / "big.json").read_bytes()
    assert json.loads(counts)["demonstrations"] == 3
    assert len(asked(server)) == 3
    run()
    assert len(asked(server)) == 3
    assert (here / "data" / "sources" / "big.jsonl").read_bytes() == first
    assert (here / "big.json").read_bytes() == counts
    write(here / "prompts.jsonl", *PROMPTS, "One more?")
    run()
    assert asked(server)[3:] == ["One more?"]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"prompts": "other.jsonl"}, "prompts"),
        ({"out": "data/sources/other.jsonl"}, "out"),
        ({"way": "critique", "principles": "mine.yaml"}, "principles"),
    ],
)
def test_a_plan_that_names_what_the_stage_does_not_depend_on_is_refused(
    change: dict[str, str], key: str, here: Path, server: ChatServer, plan: PlanFile
) -> None:
    plan(**{"out": "data/sources/big.jsonl", **change})
    words = rf"plan.yaml: {key}: the stage distill@big reads and writes by the name .*correct distill.big"
    with pytest.raises(DistillError, match=words):
        run()
    assert not asked(server)


def test_prompts_that_stages_make_are_refused_before_dvc_sees_a_cycle() -> None:
    for made in ("data/prompts/train.jsonl", "models/sft", "./data/raw"):
        with pytest.raises(ParamsError, match=r"distill.big.prompts: is made by stages .*; copy the file"):
            parsed(made)
    assert parsed("data/prompts-of-mine.jsonl")
    stages: dict[str, Any] = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    bodies = [stage.get("do", stage) for name, stage in stages.items() if name != "distill"]
    keys = ("outs", "metrics", "plots")
    outs = [out for body in bodies for key in keys for out in body.get(key, ())]
    names = {out if isinstance(out, str) else next(iter(out)) for out in outs}
    assert {name for name in names if not name.startswith(tuple(f"{made}/" for made in MADE))} <= set(MADE)
