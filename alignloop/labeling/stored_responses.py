"""Responses of the API that a client asked to store, as conversations of its key: for feedback on them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alignloop.labeling.conversations import (
    MOST_CONVERSATIONS,
    ConversationFull,
    ConversationNotFound,
    remove,
    stored_turns,
)
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback_schema import ResponseFeedback
from alignloop.labeling.serving_schema import ChatMessage, Conversation, MessageState
from alignloop.tool_turns import Turns


@dataclass(frozen=True)
class StoredResponse:
    """One choice of a response."""

    text: str
    state: MessageState
    turns: Turns | None = None  # where it may have called tools


def owner_of(key: str) -> str:
    """The owner of what is stored for an API key."""
    return f"key-{key}"


def store(
    database: LabelingDatabase,
    owner: str,
    id: str,
    messages: Sequence[Mapping[str, str]],
    responses: Sequence[StoredResponse],
    *,
    model: str,
    asked: str,
) -> None:
    """Save a dialogue, whose turns alternate, and the responses of a version to it. They are on disk then.

    `asked` is the name of the model that the request had. The oldest without feedback make room. Raises
    ConversationFull if there are none.
    """
    system = "".join(each["content"] for each in messages if each["role"] == "system")
    turns = [each for each in messages if each["role"] != "system"]
    now = time.time()
    with database.writing() as session:
        _make_room(session, owner)
        about: dict[str, Any] = {"title": "API", "model": asked, "system": system, "sampling": {}}
        session.add(Conversation(id=id, owner=owner, created=now, updated=now, **about))
        session.flush()
        parent = None
        for turn in turns:
            values: dict[str, Any] = {"model": "", "state": "complete"}
            parent = _add(session, id, parent, turn["role"], turn["content"], **values)
        for response in responses:
            values = {"model": model, "state": response.state, "system": system}
            values["turns"] = stored_turns(response.turns)
            _add(session, id, parent, "assistant", response.text, **values)


def find(session: Session, owner: str, id: str, choice: int) -> int:
    """The message of one choice. Raises ConversationNotFound."""
    conversation = session.get(Conversation, id)
    if conversation is not None and conversation.owner == owner:
        of_it = ChatMessage.conversation == id, ChatMessage.system.is_not(None)
        found = session.scalars(select(ChatMessage.id).where(*of_it).order_by(ChatMessage.id)).all()
        if choice < len(found):
            return found[choice]
    raise ConversationNotFound(
        "There is no such response of this key: send its request with `store: true` first."
    )


def _add(session: Session, id: str, parent: int | None, role: Any, content: str, **values: Any) -> int:
    message = ChatMessage(
        conversation=id, parent=parent, role=role, content=content, left_out=0, created=time.time(), **values
    )
    session.add(message)
    session.flush()
    return message.id


def _make_room(session: Session, owner: str) -> None:
    own = Conversation.owner == owner
    count = session.scalar(select(func.count()).select_from(Conversation).where(own)) or 0
    if count < MOST_CONVERSATIONS:
        return
    rated = select(ChatMessage.conversation).join(
        ResponseFeedback, ResponseFeedback.message == ChatMessage.id
    )
    query = select(Conversation.id).where(own, Conversation.id.not_in(rated)).order_by(Conversation.updated)
    oldest = session.scalars(query.limit(count - MOST_CONVERSATIONS + 1)).all()
    if not oldest:
        raise ConversationFull(f"{MOST_CONVERSATIONS:,} responses of this key are stored, all with feedback.")
    remove(session, oldest)
