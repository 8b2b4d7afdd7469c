"""Open-Assistant's message trees: volunteers ranked the replies to each prompt, 0 is the best.

https://github.com/LAION-AI/Open-Assistant

Every message of a person is a prompt, with the path to it as the conversation. Where all of two or more
replies to it have ranks, it gives a ranking as well: equal ranks tie, and gaps left by deleted replies
close. The tree identifies the user, so that it is in one split.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from alignloop.data.content_ids import content_id
from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    ranks_of,
    with_changes,
)
from alignloop.data.formats.refused_rows import Withdrawn
from alignloop.data.formats.written_values import WrittenFlag, WrittenId, WrittenInt, WrittenText
from alignloop.records import Message, Prompt, Ranking

ASIDE = (
    "tree_state",
    "review_count",
    "review_result",
    "synthetic",
    "emojis",
    "labels",
    "detoxify",
    "events",
    "created_date",
)


class Node(BaseModel):
    message_id: WrittenId = ""
    text: WrittenText
    role: Literal["prompter", "assistant"]
    rank: WrittenInt | None = None
    deleted: WrittenFlag | None = None
    replies: list["Node"] = []


class Tree(BaseModel):
    message_tree_id: WrittenId = ""
    prompt: Node


def _matches(row: Any) -> bool:
    return has_keys(row, "message_tree_id", "prompt") and isinstance(row["prompt"], dict)


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Tree, lambda tree: (item for _, item in tree_records(tree, source)), ASIDE)


def tree_records(tree: Tree, source: str) -> Iterator[tuple[Node, Imported]]:
    """The records of a tree, each with the message that it is about."""
    todo: list[tuple[Node, tuple[Message, ...]]] = [(tree.prompt, ())]
    while todo:
        node, before = todo.pop()
        if node.deleted:
            yield node, Withdrawn("a deleted message, and what followed it")
            continue
        if not node.text.strip():
            yield node, Refused("an empty message, and what followed it")
            continue
        messages = (
            *before,
            Message(role="user" if node.role == "prompter" else "assistant", content=node.text.strip()),
        )
        replies = node.replies
        if node.role == "prompter":
            user = content_id("open-assistant", tree.message_tree_id or tree.prompt.text)
            said = [node.message_id] if node.message_id else [message.content for message in messages]
            id = content_id("open-assistant", *said)
            prompt = Prompt(id=id, messages=messages, user=user, category="open-assistant", source=source)
            yield node, prompt
            ranked = [reply for reply in replies if reply.role == "assistant" and not reply.deleted]
            yield from ((node, item) for item in _ranking(prompt, ranked))
        todo += [(reply, messages) for reply in reversed(replies)]


def _ranking(prompt: Prompt, replies: list[Node]) -> Iterator[Imported]:
    numbers = [reply.rank for reply in replies if reply.rank is not None]
    if len(replies) < 2:
        return
    if len(numbers) < len(replies):
        yield Refused("two or more answers, not all of them ranked")
        return
    ranks = ranks_of(numbers)
    record = Ranking(
        id=f"{prompt.id}-ranked",
        prompt=prompt,
        responses=tuple(reply.text.strip() for reply in replies),
        ranks=ranks,
        labeler="open-assistant",
        kind="person",
        policy="open-assistant",
        round="imported",
    )
    gaps = list(ranks) != [number + 1 for number in numbers]
    yield with_changes(record, "gaps between ranks closed" if gaps else None)


OPEN_ASSISTANT = Format(
    "{message_tree_id, prompt: {text, role, replies}}: a tree of messages", _matches, _read
)
