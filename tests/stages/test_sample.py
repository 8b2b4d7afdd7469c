"""What the stage `sample` draws: as many prompts as are asked for, or it says that there are fewer."""

from pathlib import Path
from typing import Any

import pytest

from alignloop.data.record_files import read
from alignloop.params.binding import bind
from alignloop.records import Samples
from alignloop.stages.sample import sample
from tests.stages.loop import Loop, tiny


@pytest.mark.parametrize(
    ("asked", "drawn", "told"),
    [
        ({"prompts": 16, "valid_prompts": 16}, 32, ""),
        (
            {"prompts": 17, "valid_prompts": 3},
            19,
            "sample.prompts asks for 17, and there are 16: lower it, or bring more",
        ),
        (
            {"prompts": 3, "valid_prompts": 1600},
            19,
            "sample.valid_prompts asks for 1,600, and there are 16: lower it, or bring more",
        ),
    ],
)
def test_fewer_prompts_than_are_asked_for_are_told(
    asked: dict[str, Any], drawn: int, told: str, tmp_path: Path, tiny_policy: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("alignloop.stages.sample.PROMPTS_PER_CALL", 4)
    Loop(tmp_path, tiny_policy)
    out = tmp_path / "samples.jsonl"
    steps = list(
        bind(sample, tiny(sample={**asked, "responses_per_prompt": 2}))(
            "r1",
            tiny_policy,
            tmp_path / "prompts",
            out,
            tmp_path / "sample.json",
        )
    )
    assert len(read(out, Samples)) == drawn
    assert [step.note for step in steps] == [told, *[""] * (len(steps) - 1)], "once"
    assert len(steps) > 2
