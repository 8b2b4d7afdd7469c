"""Open-Assistant: message trees, nested or flat, become prompts and rankings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alignloop.data.formats import FORMATS
from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.sniffing import sniff
from alignloop.records import Prompt, Ranking, Record
from tests.data.formats.samples import read_items, turns_of, write


def node(name: str, *replies: dict[str, Any], rank: int | None = None, **other: Any) -> dict[str, Any]:
    role = "prompter" if name.startswith("?") else "assistant"
    return {
        "message_id": f"id {name}",
        "text": name,
        "role": role,
        "rank": rank,
        "replies": list(replies),
        "lang": "en",
        **other,
    }


def tree(*replies: dict[str, Any]) -> dict[str, Any]:
    return {"message_tree_id": "t1", "tree_state": "ready_for_export", "prompt": node("?one", *replies)}


def trees(path: Path, *content: dict[str, Any]) -> list[Record | Refused]:
    """What the importer yields for some trees."""
    items = read_items(write(path / "oa.jsonl", content), "open-assistant")
    return [item.record if isinstance(item, Changed) else item for item in items]


def test_a_tree_gives_a_prompt_per_persons_message_and_a_ranking_where_replies_are_ranked(tmp_path: Path):
    inner = node("?two", node("c", rank=1), node("d", rank=0), node("e", rank=2))
    prompt, ranking, follow, deeper, last = trees(
        tmp_path, tree(node("b", rank=1), node("a", inner, node("?three"), rank=0))
    )
    assert isinstance(ranking, Ranking)
    assert isinstance(deeper, Ranking)
    assert (ranking.responses, ranking.ranks, ranking.prompt) == (("b", "a"), (2, 1), prompt)
    assert (deeper.responses, deeper.ranks, deeper.prompt) == (("c", "d", "e"), (2, 1, 3), follow)
    assert turns_of(deeper.prompt) == ["user: ?one", "assistant: a", "user: ?two"]
    assert isinstance(last, Prompt)
    assert turns_of(last)[-1] == "user: ?three"
    assert {deeper.prompt.user, last.user} == {ranking.prompt.user}
    assert (ranking.kind, ranking.labeler) == ("person", "open-assistant")


def test_gaps_between_ranks_close_and_equal_ranks_tie(tmp_path: Path):
    _, ranking = trees(
        tmp_path, tree(node("a", rank=4), node("b", rank=0), node("c", rank=4), node("d", rank=2))
    )
    assert isinstance(ranking, Ranking)
    assert ranking.ranks == (3, 1, 3, 2)


def test_one_reply_gives_no_ranking_and_unranked_deleted_and_empty_replies_are_refused(tmp_path: Path):
    assert [type(item) for item in trees(tmp_path, tree(node("a", rank=0)))] == [Prompt]
    assert trees(tmp_path, tree(node("a", rank=0), node("b")))[1] == Refused(
        "two or more answers, not all of them ranked"
    )
    deleted = trees(
        tmp_path, tree(node("a", rank=0), node("b", rank=1), node("c", node("?two"), rank=2, deleted=True))
    )
    assert deleted[2:] == [Refused("a deleted message, and what followed it")]
    assert isinstance(deleted[1], Ranking)
    assert deleted[1].responses == ("a", "b")
    assert trees(tmp_path, tree(node(" ")))[1] == Refused("an empty message, and what followed it")
    assert trees(tmp_path, {"message_tree_id": "t", "prompt": {}}) == [
        Refused("prompt.role: Field required; prompt.text: Field required")
    ]


def messages(given: dict[str, Any], parent: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows of the flat table that a tree's messages are."""
    yield {
        **{name: value for name, value in given.items() if name != "replies"},
        "parent_id": parent,
        "message_tree_id": "t1",
        "lang": "en",
        "emojis": {"name": ["+1"], "count": [2]},
    }
    for reply in given.get("replies", ()):
        yield from messages(reply, given["message_id"])


TREES = {
    "ranked": tree(node("a", node("?two", node("c", rank=1), node("d", rank=0)), rank=1), node("b", rank=0)),
    "gaps": tree(node("a", rank=4), node("b", rank=2)),
    "deleted": tree(node("a", rank=0), node("b", rank=1), node("c", node("?two"), deleted=True)),
    "unranked": tree(node("a", rank=0), node("b")),
    "empty": tree(node(" ", node("?two"))),
}


@pytest.mark.parametrize("name", TREES)
def test_the_flat_table_gives_what_the_trees_give(tmp_path: Path, name: str):
    rows = list(messages(TREES[name]["prompt"]))
    assert sniff(write(tmp_path / "rows.jsonl", rows)) == "open-assistant-messages"
    write(tmp_path / "oa.jsonl", [TREES[name]])
    nested = read_items(tmp_path / "oa.jsonl", "open-assistant")
    for order in (rows, [*rows[1:], rows[0]]):  # a table may be in any order
        path = write(tmp_path / "rows.jsonl", order)
        assert read_items(path, "open-assistant-messages", "oa.jsonl") == nested


def test_messages_that_no_parents_lead_to_are_refused_and_counted(tmp_path: Path):
    rows = list(messages(TREES["ranked"]["prompt"]))
    lost = {**rows[1], "message_id": "lost", "parent_id": "gone"}
    circle = [{**rows[1], "message_id": one, "parent_id": other} for one, other in (("x", "y"), ("y", "x"))]
    path = write(tmp_path / "rows.jsonl", [*rows, lost, *circle, rows[0], {**rows[0], "message_id": None}])
    items = list(FORMATS["open-assistant-messages"].read(path, "rows.jsonl"))
    reasons = {line: item.reason for line, item in items if isinstance(item, Refused)}
    assert reasons == {
        **dict.fromkeys((7, 8, 9), "a message that no parents lead to"),
        **dict.fromkeys((10, 11), "a message without an id, or with one that another message has"),
    }
    assert {line for line, item in items if not isinstance(item, Refused)} == {1, 3}
