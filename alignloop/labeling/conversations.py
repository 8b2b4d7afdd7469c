"""Conversations of the chat page: a tree of messages for each, of which one branch is shown.

Every function takes the owner and finds only what is theirs.
"""

import secrets
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from alignloop.labeling import escalations, served_opinions
from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError
from alignloop.labeling.escalations import Ask
from alignloop.labeling.feedback_schema import ResponseComparison, ResponseFeedback
from alignloop.labeling.serving_schema import ChatMessage, Conversation, MessageState
from alignloop.tool_turns import Turns

TITLE_LENGTH = 60
MOST_CONVERSATIONS, MOST_MESSAGES = 1000, 2000  # of one owner; of one conversation
MOST_FOUND = 200


class ConversationNotFound(LabelingDatabaseError):
    """The owner has no such conversation or message."""


class ConversationFull(LabelingDatabaseError):
    """There are as many conversations or messages as there may be."""


@dataclass(frozen=True)
class Shown:
    """A message of the branch that is shown, and its place among those with the same parent."""

    message: ChatMessage
    siblings: tuple[int, ...]

    @property
    def place(self) -> int:
        """Its place among the siblings, from 0."""
        return self.siblings.index(self.message.id)


def create(
    database: LabelingDatabase,
    owner: str,
    title: str,
    *,
    model: str,
    system: str,
    sampling: Mapping[str, Any],
) -> str:
    """Begin a conversation and return its id. Raises ConversationFull."""
    with database.writing() as session:
        if len(_ids(session, [owner])) >= MOST_CONVERSATIONS:
            raise ConversationFull(f"There are {MOST_CONVERSATIONS:,} conversations. Delete one first.")
        id, now = secrets.token_urlsafe(16), time.time()
        session.add(
            Conversation(
                id=id,
                owner=owner,
                title=_title(title),
                model=model,
                system=system,
                sampling=dict(sampling),
                created=now,
                updated=now,
            )
        )
    return id


def find(session: Session, owner: str, id: str) -> Conversation:
    """A conversation of the owner. Raises ConversationNotFound."""
    found = session.get(Conversation, id)
    if found is None or found.owner != owner:
        raise ConversationNotFound("There is no such conversation.")
    return found


def listed(session: Session, owner: str, words: str = "") -> list[Conversation]:
    """The owner's conversations, the latest first; with `words`, those with them in title or messages."""
    query = select(Conversation).where(Conversation.owner == owner)
    if words:
        inside = select(ChatMessage.conversation).where(ChatMessage.content.icontains(words, autoescape=True))
        is_named = Conversation.title.icontains(words, autoescape=True)
        query = query.where(is_named | Conversation.id.in_(inside))
    return list(session.scalars(query.order_by(Conversation.updated.desc()).limit(MOST_FOUND)))


def branch(session: Session, conversation: Conversation, leaf: int | None = None) -> list[Shown]:
    """The messages from the first to `leaf`, or to that of the branch shown."""
    messages = _messages(session, conversation.id)
    siblings: dict[int | None, list[int]] = defaultdict(list)
    for message in messages.values():
        siblings[message.parent].append(message.id)
    shown: list[Shown] = []
    place = leaf if leaf is not None else conversation.leaf
    while place is not None:
        if place not in messages:
            raise ConversationNotFound("There is no such message.")
        message = messages[place]
        shown.append(Shown(message, tuple(siblings[message.parent])))
        place = message.parent
    return shown[::-1]


def add_prompt(database: LabelingDatabase, owner: str, id: str, parent: int | None, content: str) -> int:
    """Save a prompt after a response, or as another first one; return its id. It is on disk then."""
    return _add(database, owner, id, "user", parent=parent, content=content)


def add_response(
    database: LabelingDatabase,
    owner: str,
    id: str,
    *,
    parent: int,
    content: str,
    model: str,
    state: MessageState,
    left_out: int,
    system: str | None = None,
    ask: Ask | None = None,
    turns: Turns | None = None,
) -> int:
    """Save a response to a prompt and return its id. It is on disk then.

    `turns` are those of a response that may have called tools.
    """
    more = {"model": model, "state": state, "left_out": left_out, "system": system}
    more["turns"] = stored_turns(turns)
    return _add(database, owner, id, "assistant", parent=parent, content=content, ask=ask, **more)


def stored_turns(turns: Turns | None) -> list[Any] | None:
    """Turns as the database has them."""
    return None if turns is None else [turn.model_dump() for turn in turns]


def _add(
    database: LabelingDatabase,
    owner: str,
    id: str,
    role: str,
    *,
    parent: int | None,
    content: str,
    ask: Ask | None = None,
    **more: Any,
) -> int:
    with database.writing() as session:
        conversation = find(session, owner, id)
        messages = _messages(session, id)
        before = messages.get(parent) if parent is not None else None
        if (parent is not None and before is None) or (before.role if before else "assistant") == role:
            raise ConversationNotFound("There is no such message to continue.")
        if len(messages) >= MOST_MESSAGES:
            raise ConversationFull(f"This conversation has {MOST_MESSAGES:,} messages. Begin another one.")
        values = {"model": "", "state": "complete", "left_out": 0} | more
        message = ChatMessage(
            conversation=id, parent=parent, role=role, content=content, created=time.time(), **values
        )
        session.add(message)
        session.flush()
        if ask:
            escalations.add(session, id, message.id, ask)
        conversation.leaf, conversation.updated = message.id, time.time()
        return message.id


def show(database: LabelingDatabase, owner: str, id: str, message: int) -> None:
    """Show the branch of a message, down to the newest message below it."""
    with database.writing() as session:
        conversation = find(session, owner, id)
        messages = _messages(session, id)
        if message not in messages:
            raise ConversationNotFound("There is no such message.")
        children: dict[int | None, int] = {each.parent: each.id for each in messages.values()}  # the newest
        while message in children:
            message = children[message]
        conversation.leaf = message


def change(database: LabelingDatabase, owner: str, id: str, **values: Any) -> None:
    """Change title, model, system prompt or sampling of a conversation."""
    if "title" in values:
        values["title"] = _title(values["title"])
    with database.writing() as session:
        conversation = find(session, owner, id)
        for name, value in values.items():
            setattr(conversation, name, value)


def delete_conversation(database: LabelingDatabase, owner: str, id: str) -> None:
    """Delete a conversation with all its messages and the feedback on them."""
    with database.writing() as session:
        remove(session, [find(session, owner, id).id])


def delete_of_owners(session: Session, owners: Sequence[str]) -> None:
    """Delete all conversations of some owners."""
    if owners:
        remove(session, _ids(session, owners))


def remove(session: Session, ids: Sequence[str]) -> None:
    """Remove conversations with all that belongs to them."""
    escalations.remove(session, ids)
    of_these = ChatMessage.conversation.in_(ids)
    messages = select(ChatMessage.id).where(of_these)
    served_opinions.detach(session, messages)
    session.execute(delete(ResponseFeedback).where(ResponseFeedback.message.in_(messages)))
    session.execute(delete(ResponseComparison).where(ResponseComparison.conversation.in_(ids)))
    session.execute(update(ChatMessage).where(of_these).values(parent=None))
    session.execute(delete(ChatMessage).where(of_these))
    session.execute(delete(Conversation).where(Conversation.id.in_(ids)))


def _ids(session: Session, owners: Sequence[str]) -> list[str]:
    return list(session.scalars(select(Conversation.id).where(Conversation.owner.in_(owners))))


def _messages(session: Session, id: str) -> dict[int, ChatMessage]:
    """All messages of a conversation by id, the oldest first."""
    query = select(ChatMessage).where(ChatMessage.conversation == id).order_by(ChatMessage.id)
    return {message.id: message for message in session.scalars(query)}


def _title(text: str) -> str:
    line = " ".join(text.split())
    return (line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1] + "…") or "Conversation"
