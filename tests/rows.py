"""Good rows of every record type, which tests bend in one place, and files of them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def turns(*contents: str) -> list[Row]:
    return [
        {"role": ("user", "assistant")[place % 2], "content": content}
        for place, content in enumerate(contents)
    ]


def prompt(number: int, **other: Any) -> Row:
    return {
        "id": f"p{number}",
        "messages": turns(f"What is {number}?"),
        "user": f"user-{number}",
        "source": "s",
        **other,
    }


def demonstration(number: int, **other: Any) -> Row:
    return {
        **prompt(number),
        "id": f"d{number}",
        "messages": turns(f"Who is {number}?", "A number."),
        "labeler": "labeler-01",
        **other,
    }


def ranking(number: int, **other: Any) -> Row:
    known = {
        "responses": ["yes", "no", ""],
        "ranks": [1, 2, 2],
        "labeler": "labeler-02",
        "kind": "panel",
        "policy": "models/sft",
    }
    return {"id": f"r{number}", "prompt": prompt(number), **known, "round": "r1", "split": "train", **other}


def document(number: int, **other: Any) -> Row:
    return {"id": f"t{number}", "text": f"The number {number} is a number.", "source": "s", **other}


def lines(path: Path, rows: Iterable[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
