"""`data forget` finds what was made of a user's documents: passages that searches have shown."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop.__main__ import main
from alignloop.labeling import rounds
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.lineage.user_records import ShownPassages, User
from alignloop.records import Prompt, Samples
from alignloop.retrieval.citations import CUT, shown
from alignloop.retrieval.documents import Document
from alignloop.retrieval.index import Index, build, opened
from tests.lineage.conftest import demonstration, lines, prompt
from tests.lineage.test_forget import copy  # noqa: F401

OWN = Document(
    "people:1", "Ada | at the sea", "Ada lives at the sea, in the house with the green door.", "MIT", "ada"
)
OTHER = Document("mill", "The mill", "The mill was built in 1820.", "MIT")
Row = dict[str, Any]


def answers(index: Index, query: str) -> str:
    return shown(index.search(query, 2))


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, str]:
    build(tmp_path / "search.sqlite", [OWN, OTHER])
    with opened(tmp_path / "search.sqlite") as index:
        return {
            "own": answers(index, "Ada sea"),
            "other": answers(index, "mill"),
            "both": answers(index, "the"),
        }


def turns(text: str) -> list[Row]:
    return [
        {"by": "policy", "text": "<call>", "tokens": 2},
        {"by": "tool", "text": text, "tokens": 9},
        {"by": "policy", "text": "So.", "tokens": 1},
    ]


def rows(text: str, number: int) -> dict[str, Row]:
    """A record of each kind with a response that was shown a text."""
    about = prompt(number, 0)
    return {
        "samples": {
            "id": "s",
            "prompt": about,
            "responses": ["Yes.", "So."],
            "turns": [turns("x"), turns(text)],
        },
        "evaluated": {"id": "e", "prompt": about, "response": "So.", "turns": turns(text)},
        "rollout": {"id": "o", "prompt": about["id"], "response": "So.", "turns": turns(text)},
        "demonstration": {"id": "d", "calls": [{"name": "search", "arguments": {}, "result": text}]},
    }


@pytest.mark.parametrize("kind", rows("", 0))
def test_a_record_in_which_a_document_was_shown_is_the_users_and_no_other(kind: str, texts: dict[str, str]):
    for text, is_own in (
        (texts["own"], True),
        (texts["both"], True),
        (texts["other"], False),
        ("nothing found", False),
        (f"{texts['own'][:60]} {CUT}", True),  # its text is cut
        (f"[7] Ada / at the sea | peop {CUT}", True),  # its header is
        (
            "[7] Ada / at the sea | people:1 | MIT\nAda lived elsewhere, before the document was changed.",
            True,
        ),
        (f"[8] A | a | MIT\nThe mill {CUT}", False),
    ):
        user = User("ada", passages=ShownPassages([OWN]))
        assert user.owns(rows(text, 5)[kind]) is is_own, text
        assert user.read_prompts == ({"d" if kind == "demonstration" else "p-5-0"} if is_own else set())
        ranking = {"id": "r", "prompt": prompt(5, 0), "responses": ["So.", "No."], "ranks": [1, 2]}
        assert user.owns(ranking) is (is_own and kind != "demonstration"), "made of the response"
        assert not user.owns({**ranking, "prompt": prompt(6, 0)})


def test_what_another_tool_said_and_a_short_line_are_not_known_as_a_document(texts: dict[str, str]):
    short = Document("age", "Ada's age", "72", "MIT", "ada")
    assert not User("ada", passages=ShownPassages([short])).owns(rows("72", 5)["evaluated"])
    assert User("ada", passages=ShownPassages([short])).owns(
        rows("[3] Ada's age | age | MIT", 5)["evaluated"]
    )
    for tool, is_own in (("search", True), ("ours", False)):
        record = rows(texts["own"], 5)["evaluated"]
        record["turns"][1]["tool"] = tool
        assert User("ada", passages=ShownPassages([OWN])).owns(record) is is_own


def test_forgetting_reaches_records_items_and_every_index_that_is_named(
    copy: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    texts: dict[str, str],
):
    for place in ("data/search.sqlite", "data/search/main.sqlite", "elsewhere/own.sqlite"):
        build(copy / place, [OWN, OTHER])
    folder = copy / "documents"
    folder.mkdir()
    (folder / "people.jsonl").write_text(json.dumps({"text": OWN.text, "user": "ada"}) + "\n")
    params = yaml.safe_load((copy / "params.yaml").read_text())
    settings = {"index": "elsewhere/own.sqlite", "passages": 3}
    params["tools"]["functions"] = [
        {"function": "alignloop.tools.search:search", "network": False, "settings": settings}
    ]
    params["tools"].update(max_calls=1, answer_tokens=16)
    params["documents"] = {
        "main": {"folder": "documents", "licence": "MIT", "max_refused": 0, "embedding": None}
    }
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    stages = yaml.safe_load((copy / "dvc.yaml").read_text())
    stages["stages"]["sample"] = {"cmd": "true", "outs": ["data/samples/r1.jsonl"]}
    (copy / "dvc.yaml").write_text(yaml.safe_dump(stages))
    (copy / "data" / "samples").mkdir()
    samples = [
        Samples(
            id=f"s-{number}",
            prompt=Prompt.model_validate_json(json.dumps(prompt(number, 1))),
            responses=("Yes.", f"The house of {number}."),
            policy="models/sft",
            round="r2",
            split="train",
        )
        for number in (5, 6)
    ]
    written = [{**json.loads(each.model_dump_json()), "turns": [turns("x"), turns("x")]} for each in samples]
    written[0]["turns"][1] = turns(texts["own"])
    (copy / "data" / "samples" / "r1.jsonl").write_bytes(lines(written))
    store = LabelingDatabase(database_url(copy))
    rounds.publish(store, "r2", samples, overlap=1, enough=1.0, deadline_hours=None)
    store.close()
    own = {**demonstration(7), "calls": [{"name": "search", "arguments": {}, "result": texts["own"]}]}
    other = {**demonstration(8), "calls": [{"name": "search", "arguments": {}, "result": texts["other"]}]}
    (copy / "data" / "sources" / "best.jsonl").write_bytes(lines([own, other]))

    assert main(["data", "forget", "--user", "ada"]) == 0
    out = capsys.readouterr().out
    for line in (
        "removed    1 rows from data/sources/best.jsonl",
        "removed    1 records from data/samples/r1.jsonl",
        "removed    0 answers, 0 assignments, 1 items, 0 audit details from the labeling store",
        "removed    1 documents from data/search.sqlite, the search's index",
        "removed    1 documents from data/search/main.sqlite, the search's index",
        "removed    1 documents from elsewhere/own.sqlite, the search's index",
        "left       1 documents in documents: remove these lines there",
    ):
        assert line in out.splitlines()
    places = [copy / name for name in ("data", "elsewhere", "people", ".dvc")]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    assert not [file for file in files if b"green door" in file.read_bytes()]
    assert [json.loads(line)["id"] for line in (copy / "data/samples/r1.jsonl").read_text().splitlines()] == [
        "s-6"
    ]
    assert main(["data", "forget", "--user", "ada"]) == 0, "again"
