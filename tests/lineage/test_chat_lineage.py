"""What people say in chat: exported, ingested, traced back to the version that responded, and forgotten."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from alignloop.__main__ import main
from alignloop.labeling import consent, conversations, feedback
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.records import Demonstration, Prompt, Ranking
from tests.lineage.conftest import PROJECT, bring_up_to_date
from tests.lineage.test_forget import copy  # noqa: F401  a fixture

SETTINGS: Any = {"model": "alignloop-policy@champion", "system": "", "sampling": {}}
MODEL: Any = {"model": "alignloop-policy/1 @champion", "state": "complete", "left_out": 0, "system": ""}
KINDS = {"prompts": Prompt, "demonstrations": Demonstration, "edits": Ranking}


def talk(database: LabelingDatabase, owner: str, agreed: bool) -> None:
    """A prompt, a response, and what it should have been."""
    statement = consent.read_statement(Path.cwd(), "configs/consent.md", "LicenseRef-Chat-Consent")
    consent.record_statement(database, statement)
    if agreed:
        consent.decide(database, owner, statement, version=statement.version, agreed=True)
    id = conversations.create(database, owner, "Sea", **SETTINGS)
    prompt = conversations.add_prompt(database, owner, id, None, f"Is the sea full of salt, asks {owner}?")
    response = conversations.add_response(database, owner, id, parent=prompt, content="Perhaps.", **MODEL)
    feedback.edit(database, owner, id, response, f"Yes, {owner}, it is full of salt.")


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_feedback_is_exported_ingested_traced_and_forgotten(
    copy: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(PROJECT / "configs", copy / "configs")
    database = LabelingDatabase(database_url(copy))
    for owner, agreed in (("labeler-ada", True), ("labeler-bob", True), ("labeler-eve", False)):
        talk(database, owner, agreed)
    with database.reading() as session:
        names = consent.pseudonyms(session)
    database.close()
    assert main(["chat", "export", "data/sources/prompts.jsonl"]) == 1
    assert "holds other files than an earlier export" in capsys.readouterr().err
    for _ in range(2):  # the second replaces the first
        assert main(["chat", "export", "data/sources/chat"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "2 rankings of an edit above its response: edits.jsonl" in out
    assert "left out: 1 edits of people who have not agreed, or have withdrawn" in out
    assert 'params.yaml needs ingest.licences: {"chat/*": LicenseRef-Chat-Consent}' in out[-1]
    folder = copy / "data/sources/chat"
    assert {path.name for path in folder.iterdir()} == {"README.md", *(f"{kind}.jsonl" for kind in KINDS)}
    for kind, record in KINDS.items():
        assert len([record.model_validate(row) for row in rows(folder / f"{kind}.jsonl")]) == 2
    exported = "".join(path.read_text() for path in folder.iterdir())
    assert "labeler-eve" not in exported

    params = copy / "params.yaml"
    licences = "licences:\n    chat/*: LicenseRef-Chat-Consent\n    '*': MIT"
    params.write_text(params.read_text().replace("licences:\n    '*': MIT", licences))
    assert bring_up_to_date(copy) == ["ran", "ran"]
    [ranking, *_] = [row for row in rows(copy / "data/raw/rankings.jsonl") if row["round"] == "chat"]
    assert ranking["origin"]["licence"] == "LicenseRef-Chat-Consent"
    assert ranking["policy"] == "alignloop-policy/1"
    capsys.readouterr()
    demonstration = ranking["id"].removesuffix("-ranked")
    for id in (ranking["id"], demonstration, ranking["prompt"]["id"]):
        assert main(["data", "show", id]) == 0
        shown = capsys.readouterr().out
        assert (
            "said in chat with alignloop-policy/1: `python -m alignloop lineage alignloop-policy/1`" in shown
        )
        assert "comes from data/sources/chat/" in shown

    assert main(["data", "forget", "--user", "labeler-ada"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "removed    1 conversations of the chat page, with all feedback on them" in out
    assert "removed    1 rows from data/sources/chat/edits.jsonl" in out
    for place in ("data", ".dvc/cache", "people"):
        data = b"".join(file.read_bytes() for file in (copy / place).rglob("*") if file.is_file())
        assert names["labeler-ada"].encode() not in data, place
        assert b"asks labeler-ada" not in data, place
        if place != ".dvc/cache":  # an object of a whole split goes, with all who are in it
            assert names["labeler-bob"].encode() in data, place
    assert main(["chat", "export", "data/sources/chat"]) == 0
    assert {row["user"] for row in rows(folder / "prompts.jsonl")} == {names["labeler-bob"]}
