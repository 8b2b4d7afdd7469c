"""Alignloop's own record types are a format too."""

import json
from pathlib import Path

from alignloop.data.formats.importer import Refused
from alignloop.data.formats.sniffing import sniff
from alignloop.records import BinaryLabel, Demonstration, Document, Prompt, Ranking
from tests.data.formats.samples import read_items, write


def test_own_records_are_recognised_by_their_fields_and_imported_unchanged(tmp_path: Path):
    turn = {"role": "user", "content": "Hi?"}
    prompt = {"id": "p", "messages": [turn], "user": "u", "source": "s"}
    demonstration = {
        **prompt,
        "id": "d",
        "labeler": "l",
        "messages": [turn, {"role": "assistant", "content": "Hi!"}],
    }
    ranking = {
        "id": "r",
        "prompt": prompt,
        "responses": ["a", "b"],
        "ranks": [1, 1],
        "labeler": "l",
        "kind": "person",
        "policy": "p",
        "round": "x",
    }
    label = {"id": "b", "prompt": prompt, "response": "a", "good": False, "labeler": "l", "by": "person"}
    for row, kind in (
        ({**label, "policy": "p", "round": "x"}, BinaryLabel),
        (prompt, Prompt),
        (demonstration, Demonstration),
        (ranking, Ranking),
        ({"id": "t", "text": "x", "source": "s"}, Document),
    ):
        path = write(tmp_path / "own.jsonl", [row, {**row, "extra": 1}])
        assert sniff(path) == "own"
        assert read_items(path, "own") == [
            kind.model_validate_json(json.dumps(row)),
            Refused("extra: Extra inputs are not permitted"),
        ]
