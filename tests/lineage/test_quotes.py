"""`data forget` removes the user's rows from the tables of completions in MLflow."""

import json
from pathlib import Path

import pytest

from alignloop.__main__ import main
from alignloop.records import EvaluatedResponse, Prompt
from alignloop.tracking.completions import completions
from tests.lineage.test_forget import copy, user_in  # noqa: F401


def test_the_users_rows_go_from_the_tables_of_completions(
    copy: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
):
    user = user_in(copy, "test")
    lines = (copy / "data/prompts/test.jsonl").read_text().splitlines()
    prompts = [Prompt.model_validate_json(line) for line in lines]
    responses = [
        EvaluatedResponse(
            id=f"{model}-{each.id}",
            prompt=each,
            model=model,
            response=f"to {each.user}",
            tokens=2,
            ended=True,
            score=0.5,
            gold=None,
            passed=None,
            made_up=None,
            over_refused=None,
        )
        for each in prompts
        for model in ("policy", "sft")
    ]
    table = copy / "mlruns/artifacts/1/abc/artifacts/completions.json"
    table.parent.mkdir(parents=True)
    table.write_text(json.dumps(completions(responses)))
    assert f"to user-{user}" in table.read_text()
    assert main(["data", "forget", "--user", f"user-{user}"]) == 0
    count = sum(each.user == f"user-{user}" for each in prompts)
    place = table.relative_to(copy).as_posix()
    assert f"removed    {count} completions from {place}" in capsys.readouterr().out.splitlines()
    left = json.loads(table.read_text())["data"]
    assert len(left) == len(prompts) - count > 0
    assert not any(f"to user-{user}" in row for row in left)
