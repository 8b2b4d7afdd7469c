"""Where no source holds demonstrations, ingest takes the best-ranked responses of the rankings."""

import json
from pathlib import Path
from typing import Any

import pytest

from alignloop.data.record_files import read
from alignloop.params.binding import bind
from alignloop.records import Demonstration, Message, Prompt, Ranking
from alignloop.stages.ingest import ingest
from tests.stages.test_ingest import FORGOTTEN, PAIR, PROBLEM, drop, params, refusal, run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    drop(tmp_path, "chats/test.jsonl", PAIR)
    drop(tmp_path, "sums.jsonl", PROBLEM)
    drop(tmp_path, "book.txt", "A book.\n")
    return tmp_path


def test_sources_without_good_responses_are_refused(root: Path):
    for name in ("sums.jsonl", "chats/test.jsonl"):
        (root / "sources" / name).unlink()
    assert "no file holds demonstrations, nor rankings whose best response could be one" in refusal(root)
    drop(root, "tied.jsonl", own_ranking("r1", "Hi?", ("a", "b"), (1, 1)))
    assert "no file holds demonstrations" in refusal(root), "a tie has no best response"


def own_ranking(id: str, asked: str, responses: tuple[str, ...], ranks: tuple[int, ...]) -> Any:
    """A ranking in our own format, by a user of its own."""
    prompt = Prompt(id=f"p-{id}", messages=(Message(role="user", content=asked),), user=f"u-{id}", source="s")
    about: Any = {"labeler": "labeler-7", "kind": "person", "policy": "p", "round": "imported", "time": "t"}
    return json.loads(
        Ranking(id=id, prompt=prompt, responses=responses, ranks=ranks, **about).model_dump_json()
    )


def test_without_demonstrations_the_best_response_of_each_clear_ranking_is_one(root: Path):
    (root / "sources" / "sums.jsonl").unlink()
    (root / "sources" / "chats" / "test.jsonl").unlink()
    rows = [
        own_ranking("clear", "One?", ("bad", "good", "worse"), (2, 1, 3)),
        own_ranking("tied", "Two?", ("a", "b", "c"), (1, 1, 2)),
        own_ranking("blank", "Three?", (" ", "b"), (1, 2)),
        own_ranking("twin", "Four?", ("same", "same", "other"), (1, 1, 2)),
        own_ranking("first", "Five?", ("x", "y"), (1, 2)),
        own_ranking("beaten", "Five?", ("z", "x"), (1, 2)),
    ]
    drop(root, "prefs.jsonl", *rows)
    work = bind(ingest, params(licences={"prefs.jsonl": "CC0-1.0", "*": "MIT"}))
    steps = list(work(root / "sources", FORGOTTEN, root / "raw", root / "ingest.json"))
    taken = read(root / "raw" / "demonstrations.jsonl", Demonstration)
    assert {each.messages[0].content: each.messages[1].content for each in taken} == {
        "One?": "good",
        "Four?": "same",
        "Five?": "z",  # x is beaten by z
    }
    rankings = {each.prompt.user: each for each in read(root / "raw" / "rankings.jsonl", Ranking)}
    for each in taken:
        made_of = rankings[each.user]
        assert (each.labeler, each.time, each.source) == ("labeler-7", "t", "s")
        assert each.origin == made_of.origin
        assert each.origin
        assert each.origin.licence == "CC0-1.0"
    told = [step.note for step in steps if "no source holds demonstrations" in step.note]
    assert told == [
        "no source holds demonstrations: the best-ranked responses of 3 rankings are the demonstrations; 3 "
        "give none: no single best response, or one met before"
    ]
    counts = json.loads((root / "ingest.json").read_text())
    assert counts["total"]["demonstrations"] == counts["total"]["demonstrations from rankings"] == 3
    assert counts["total"]["rankings that give no demonstration"] == 3
    assert counts["sources"]["prefs.jsonl (own)"]["demonstrations"] == 3


def test_with_one_demonstration_no_response_of_a_ranking_becomes_another(root: Path):
    run(root)
    [only] = read(root / "raw" / "demonstrations.jsonl", Demonstration)
    assert only.source == "sums.jsonl"
