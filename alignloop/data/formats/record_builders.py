"""Builds our records from the content of a source.

Ids are hashes of the content, and white space around each turn is stripped. Where the source names no
user, the first user message identifies one. The importer's `name` is part of the ids, and the labeler and
category where the source names none.
"""

from collections.abc import Sequence
from typing import Any, Literal

from alignloop.data.content_ids import content_id
from alignloop.data.formats.role_marks import asked
from alignloop.records import Demonstration, Message, Prompt, Ranking

Turns = Sequence[tuple[str, str]]  # (role, content) of each turn


def messages(turns: Turns) -> tuple[Message, ...]:
    """The messages of a conversation. Raises ValidationError for an unknown role or an empty turn."""
    return tuple(Message.model_validate({"role": role, "content": text.strip()}) for role, text in turns)


def chat_turns(field: Any) -> Turns | None:
    """The turns of a prompt that is a text or a list of messages; None if it is neither."""
    if isinstance(field, str):
        return asked(field) if field.strip() else None
    if not isinstance(field, list) or not field:
        return None
    pairs = [(turn.get("role"), turn.get("content")) for turn in field if isinstance(turn, dict)]
    texts = [(role, text) for role, text in pairs if isinstance(role, str) and isinstance(text, str)]
    return texts if len(texts) == len(field) else None


def prompt(
    name: str, turns: Turns, source: str, *, user: str = "", category: str = "", time: str = ""
) -> Prompt:
    """A prompt: a conversation whose last turn is the user's."""
    conversation = messages(turns)
    return Prompt(
        id=content_id(name, *(message.content for message in conversation)),
        messages=conversation,
        user=content_id(name, user or _first_user_message(conversation)),
        category=category or name,
        time=time,
        source=source,
    )


def demonstration(
    name: str, turns: Turns, source: str, *, labeler: str = "", user: str = "", category: str = ""
) -> Demonstration:
    """A demonstration: a conversation whose assistant turns were written to be imitated."""
    conversation = messages(turns)
    return Demonstration(
        id=content_id(name, *(message.content for message in conversation), labeler),
        messages=conversation,
        user=content_id(name, user or _first_user_message(conversation)),
        labeler=labeler or name,
        category=category or name,
        source=source,
    )


def ranking(
    name: str,
    prompt: Prompt,
    responses: Sequence[str],
    ranks: Sequence[int],
    *,
    labeler: str = "",
    kind: Literal["person", "judge"] = "person",
    row: str = "",
) -> Ranking:
    """A labeler's ranking of responses; `row` keeps the ids of repeated rankings apart."""
    stripped = tuple(response.strip() for response in responses)
    return Ranking(
        id=content_id(name, prompt.id, *stripped, *map(str, ranks), labeler, row),
        prompt=prompt,
        responses=stripped,
        ranks=tuple(ranks),
        labeler=labeler or name,
        kind=kind,
        policy=name,
        round="imported",
        time=prompt.time,
    )


def _first_user_message(messages: tuple[Message, ...]) -> str:
    return next((message.content for message in messages if message.role == "user"), "")
