"""The doctor names what is wrong with `ppo.score` before anything runs, all of it at once."""

from pathlib import Path
from typing import Any

from alignloop.checks.score_parts import check_score
from alignloop.data.record_files import write
from alignloop.params import Params, parse
from alignloop.records import Prompt
from tests.rows import prompt
from tests.scoring.conftest import save_classifier


def planned(params: Params, score: Any, max_new_tokens: int = 8) -> Params:
    values = params.model_dump(by_alias=True)
    values["ppo"] |= {"score": score, "value": "trunk"}
    values["decoding"]["max_new_tokens"] = max_new_tokens
    return parse(values, "params.yaml")


def test_the_default_and_parts_that_are_there_are_no_fault(params: Params, tmp_path: Path) -> None:
    assert check_score(params, tmp_path) == []
    other = {"kind": "checkpoint", "path": str(save_classifier(tmp_path / "rm")), "weight": 1.0, "shift": 0.0}
    installed = {"kind": "function", "function": "numpy:dot", "weight": 1.0, "shift": 0.0}
    exact = {"kind": "final_number", "weight": 1.0}  # no prompts are prepared yet
    score = {"rm": other, "own": installed, "exact": exact}
    [found] = check_score(planned(params, score, max_new_tokens=31), tmp_path)
    assert (found.severity, found.message) == ("ok", "ppo.score is a sum of rm, own, exact")


def test_every_fault_is_named_with_its_part(params: Params, tmp_path: Path) -> None:
    write(tmp_path / "data" / "prompts" / "train.jsonl", [Prompt(**prompt(1))])
    folder = save_classifier(tmp_path / "rm")
    two = save_classifier(tmp_path / "two", labels=2)
    score: dict[str, Any] = {
        name: {"kind": "checkpoint", "path": str(path), "weight": 1.0, "shift": 0.0}
        for name, path in (("short", folder), ("two", two), ("none", "./none"))
    }
    score["own"] = {"kind": "function", "function": "scores.none:score", "weight": 1.0, "shift": 0.0}
    score["exact"] = {"kind": "final_number", "weight": 1.0}
    found = check_score(planned(params, score, max_new_tokens=32), tmp_path)
    assert {finding.severity for finding in found} == {"error"}
    said = [finding.message for finding in found]
    assert said[0].startswith(
        "ppo.score.short: decoding.max_new_tokens: 32 leave no room for a prompt in the"
    )
    assert "gives 2 numbers for a text" in said[1]
    assert said[2].startswith("ppo.score.none: ./none: no such checkpoint folder")
    assert said[3].startswith("ppo.score.own: scores.none cannot be imported")
    assert said[4].endswith("the record has no check.answer (1 of 1 prompts)")
