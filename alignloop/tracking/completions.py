"""The table of an evaluation's completions, as MLflow's pages show one: a row for each prompt."""

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alignloop.data.record_files import read
from alignloop.records import EvaluatedResponse
from alignloop.tracking.active_run import ActiveRun

NAME = "completions.json"  # among the artifacts of the evaluation's run
MODELS = ("policy", "sft")
MEASURED = ("score", "gold", "passed", "tokens")  # of each response; a column that is empty is left out


def keep_table(file: Path, run: ActiveRun) -> None:
    """Add the table of the responses in a file to a run.

    `mlflow.log_table` would add its rows to those of an interrupted attempt.
    """
    with TemporaryDirectory() as folder:
        table = Path(folder, NAME)
        table.write_text(
            json.dumps(completions(read(file, EvaluatedResponse)), ensure_ascii=False), encoding="utf-8"
        )
        run.upload_table(table)


def completions(responses: Iterable[EvaluatedResponse]) -> dict[str, list[Any]]:
    """Return columns and rows: the responses of the policy and of SFT, the policy's lowest scores first.

    A prompt's id is in the last column: `data forget` finds rows by it.
    """
    by_prompt: dict[str, dict[str, EvaluatedResponse]] = {}
    for each in responses:
        if each.model in MODELS:
            by_prompt.setdefault(each.prompt.id, {})[each.model] = each
    rows = [_row(replies) for replies in by_prompt.values() if "policy" in replies]
    columns = [name for name in (rows[0] if rows else ()) if any(row[name] is not None for row in rows)]
    rows.sort(key=lambda row: row["policy score"])
    return {"columns": columns, "data": [[row[name] for name in columns] for row in rows]}


def without_prompts(text: str, ids: Iterable[str]) -> tuple[str, int]:
    """Return the text of a table without the rows of these prompts, and how many they were."""
    table, wanted = json.loads(text), set(ids)
    place = table["columns"].index("prompt id") if table["columns"] else 0
    left = [row for row in table["data"] if row[place] not in wanted]
    removed = len(table["data"]) - len(left)
    return json.dumps({**table, "data": left}, ensure_ascii=False), removed


def _row(replies: dict[str, EvaluatedResponse]) -> dict[str, Any]:
    prompt = replies["policy"].prompt
    turns = [message.content for message in prompt.messages]
    if len(turns) > 1:
        turns = [f"{message.role}: {message.content}" for message in prompt.messages]
    row: dict[str, Any] = {"category": prompt.category, "prompt": "\n".join(turns)}
    row |= {name: replies[name].response if name in replies else None for name in MODELS}
    for name in MODELS:  # a prompt may be too long for one of them
        row |= {f"{name} {measure}": getattr(replies.get(name), measure, None) for measure in MEASURED}
    return row | {"prompt id": prompt.id}
