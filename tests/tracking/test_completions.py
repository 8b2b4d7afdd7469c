"""An evaluation's table has a row a prompt with the models side by side; rows go by the prompt's id."""

import json
from pathlib import Path
from typing import Any

from alignloop import tracking
from alignloop.data import record_files
from alignloop.records import EvaluatedResponse, Message, Prompt
from alignloop.tracking.completions import completions, keep_table, without_prompts
from tests.tracking.mlflow_runs import mlflow_run


def response(model: str, prompt: str, score: float, gold: float | None = None) -> EvaluatedResponse:
    turns = [Message(role="user", content=text) for text in [f"ask {prompt}"]]
    if prompt == "long":
        turns += [Message(role="assistant", content="yes"), Message(role="user", content="and?")]
    asked = Prompt(id=prompt, user="user-1", category="fact", source="world", messages=tuple(turns))
    more: dict[str, Any] = dict.fromkeys(("passed", "made_up", "over_refused"))
    return EvaluatedResponse(
        id=f"{model}-{prompt}",
        prompt=asked,
        model=model,
        response=f"{model} says {prompt}",
        tokens=3,
        ended=True,
        score=score,
        gold=gold,
        **more,
    )


RESPONSES = [
    response(model, prompt, score)
    for model in ("base", "sft", "before", "policy")
    for prompt, score in (("b", 2.0), ("long", 1.0))
]


def test_the_policys_and_sfts_responses_are_side_by_side_lowest_scores_first():
    table = completions(RESPONSES)
    assert table["columns"] == [
        "category",
        "prompt",
        "policy",
        "sft",
        "policy score",
        "policy tokens",
        "sft score",
        "sft tokens",
        "prompt id",
    ], "no column of a gold score that these prompts lack"
    assert table["data"] == [
        [
            "fact",
            "user: ask long\nassistant: yes\nuser: and?",
            "policy says long",
            "sft says long",
            1.0,
            3,
            1.0,
            3,
            "long",
        ],
        ["fact", "ask b", "policy says b", "sft says b", 2.0, 3, 2.0, 3, "b"],
    ]
    known = completions([response(model, "b", 1.0, gold=0.5) for model in ("sft", "policy")])
    assert known["data"][0][known["columns"].index("policy gold")] == 0.5
    alone = completions([response("policy", "b", 1.0), response("sft", "long", 1.0)])
    assert [row[2:] for row in alone["data"]] == [["policy says b", 1.0, 3, "b"]], "too long for SFT, say"
    assert completions([]) == {"columns": [], "data": []}


def test_the_table_is_kept_once_even_if_the_stage_is_repeated(project: Path):
    record_files.write(project / "responses.jsonl", RESPONSES)
    with tracking.run(project, "evaluate", "r1") as run:
        for _ in range(2):
            keep_table(project / "responses.jsonl", run)
    kept = project / "mlruns" / "artifacts" / run.id / "artifacts" / "completions.json"
    assert json.loads(kept.read_text()) == completions(RESPONSES)
    tags = mlflow_run(project, tracking.runs(project)[0]).data.tags
    assert json.loads(tags["mlflow.loggedArtifacts"]) == [{"path": "completions.json", "type": "table"}]


def test_the_rows_of_a_users_prompts_are_removed_by_id():
    text = json.dumps(completions(RESPONSES))
    left, removed = without_prompts(text, ["long", "another"])
    assert (removed, [row[-1] for row in json.loads(left)["data"]]) == (1, ["b"])
    assert without_prompts(json.dumps(completions([])), ["b"])[1] == 0
