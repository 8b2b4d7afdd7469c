"""dvc.lock records which stage made which bytes, and `untraced_inputs` finds the bytes without a stage."""

import json
from pathlib import Path
from typing import Any

import pytest

from alignloop.pipeline.dvc_lock import locked_stages, untraced_inputs


def write(root: Path, **stages: tuple[dict[str, str], dict[str, str]]) -> Path:
    def listed(paths: dict[str, str]) -> list[Any]:
        return [{"path": path, **({"md5": hash} if hash else {})} for path, hash in paths.items()]

    content = {
        name.replace("_at_", "@"): {"deps": listed(deps), "outs": listed(outs)}
        for name, (deps, outs) in stages.items()
    }
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": content}))
    return root


WHOLE: dict[str, Any] = {
    "ingest": ({"data/sources": "1", "alignloop/stages/ingest.py": "c"}, {"data/raw": "2"}),
    "sft": ({"data/raw": "2"}, {"models/sft": "3"}),
    "ppo_at_r1": ({"models/sft": "3", "data/raw": "2"}, {"models/r1/policy": "4"}),
}


def test_code_is_not_an_input_and_the_round_is_split_from_the_stage(tmp_path: Path):
    stages = list(locked_stages(write(tmp_path, **WHOLE)))
    assert [(entry.stage, entry.round, list(entry.inputs)) for entry in stages] == [
        ("ingest", None, ["data/sources"]),
        ("sft", None, ["data/raw"]),
        ("ppo", "r1", ["models/sft", "data/raw"]),
    ]


@pytest.mark.parametrize(
    ("changed", "untraced"),
    [
        ({}, []),
        ({"sft": ({"data/raw": "other"}, {"models/sft": "3"})}, ["data/raw"]),
        ({"sft": ({"data/raw": "2"}, {"models/sft": "other"})}, ["models/sft"]),
        ({"sft": ({"data/raw": ""}, {"models/sft": "3"})}, ["data/raw"]),
        ({"ppo_at_r1": ({}, {"models/r1/other": "4"})}, ["models/r1/policy"]),
    ],
)
def test_bytes_that_differ_from_their_stages_output_are_untraced(
    tmp_path: Path, changed: dict[str, Any], untraced: list[str]
):
    assert untraced_inputs(write(tmp_path, **(WHOLE | changed)), "models/r1/policy") == untraced


def test_without_dvc_lock_nothing_is_traced(tmp_path: Path):
    assert untraced_inputs(tmp_path, "models/r1/policy") == ["models/r1/policy"]
