"""Plans that cannot work, and two runs of one plan."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignloop.teacher.distillation import Distillation
from alignloop.teacher.plan import DistillError, load_plan
from tests.chat_server import ChatServer
from tests.teacher.conftest import distill

PlanFile = Callable[..., Path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": {"terms": "free for all"}}, "teacher.terms: must be an SPDX expression of the terms"),
        (
            {"teacher": {"terms": "unknown-accepted"}},
            "teacher.terms: must be an SPDX expression of the terms",
        ),
        ({"teacher": {"url": "http://me:word@host/v1"}}, "put the key into ALIGNLOOP_TEACHER_KEY"),
        ({"teacher": {"settings": {"model": "x"}}}, "teacher.settings: must not set model"),
        ({"refusals": ["("]}, "refusals.0: must be a regular expression"),
        ({"self_instruct": {"words": [9, 3]}}, "self_instruct: words: the fewest (9) exceed the most (3)"),
        ({"prompts": "absent.jsonl"}, "absent.jsonl: does not exist; name a file of prompts"),
        ({"way": "rewrites"}, "holds no rankings to ask about (3 of another kind)"),
        ({"out": "data/forgotten.txt"}, "must end with .jsonl"),
        ({"out": "prompts.jsonl"}, "prompts.jsonl: is another file, which no teacher wrote"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_before_anybody_is_asked(
    here: Path, server: ChatServer, plan: PlanFile, capsys: Any, changes: dict[str, Any], message: str
) -> None:
    assert distill(plan(**changes)) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "word@" not in said
    assert not server.asked
    assert not (here / "data" / "sources").exists()


def test_two_runs_of_a_plan_at_a_time_are_refused(here: Path, server: ChatServer, plan: PlanFile) -> None:
    first = Distillation(load_plan(plan()))
    with pytest.raises(DistillError, match="another `distill` with this `out` is running"):
        Distillation(load_plan(plan()))
    first.close()
    Distillation(load_plan(plan())).close()
