"""Feedback on responses in chat: thumbs with a reason, edits, and choices between two responses.

Every function takes the owner of the conversation and finds only what is theirs. What is saved is on disk
when a function returns, with the version of the model that responded.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from alignloop.labeling import served_opinions
from alignloop.labeling.chat_calls import stored_edit
from alignloop.labeling.conversations import ConversationNotFound, find
from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError
from alignloop.labeling.feedback_schema import Choice, FeedbackKind, ResponseComparison, ResponseFeedback
from alignloop.labeling.served_opinions import Compared
from alignloop.labeling.serving_schema import ChatMessage
from alignloop.retrieval.reading import UnknownSource


class FeedbackRefused(LabelingDatabaseError):
    """The feedback says nothing that can be used; the message is for the person."""


@dataclass(frozen=True)
class Opinion:
    """What the owner thinks of one response."""

    is_up: bool | None = None
    reason: str = ""
    edit: str | None = None


def rate(
    database: LabelingDatabase,
    owner: str,
    id: str,
    response: int,
    *,
    is_up: bool | None,
    reason: str = "",
    compared: Compared | None = None,
) -> None:
    """Save a thumb in place of an earlier one; None takes it back.

    With `compared` the person does not know which of the two versions responded.
    """
    with database.writing() as session:
        found = _response(session, owner, id, response)
        served_opinions.record_thumb(session, found, is_up, compared)
        if is_up is None:
            session.execute(delete(ResponseFeedback).where(*_of(response, "thumb")))
        else:
            _put(session, found, "thumb", is_up=is_up, text=reason.strip())


def edit(database: LabelingDatabase, owner: str, id: str, response: int, text: str) -> None:
    """Save what a response should have been, in place of an earlier edit.

    It cites sources as the response is shown. Raises FeedbackRefused if it is what the response is, or cites
    a source that the response does not have.
    """
    with database.writing() as session:
        found = _response(session, owner, id, response)
        try:
            text = stored_edit(text, found)
        except UnknownSource as error:
            raise FeedbackRefused(str(error)) from None
        if not text.strip():
            raise FeedbackRefused("Write what the response should have been.")
        if text.strip() == found.content.strip():
            raise FeedbackRefused("This is the response itself: change it, or cancel.")
        _put(session, found, "edit", is_up=None, text=text.strip())


def opinions(session: Session, responses: Sequence[int]) -> dict[int, Opinion]:
    """What the owner thinks of responses, by their ids."""
    values: dict[int, dict[str, object]] = {}
    for row in session.scalars(select(ResponseFeedback).where(ResponseFeedback.message.in_(responses))):
        own = {"edit": row.text} if row.kind == "edit" else {"is_up": row.is_up, "reason": row.text}
        values.setdefault(row.message, {}).update(own)
    return {message: Opinion(**own) for message, own in values.items()}  # pyright: ignore[reportArgumentType]


def begin_comparison(database: LabelingDatabase, owner: str, id: str, left: int, right: int) -> None:
    """Show two responses to one prompt side by side from now on; equal ones are nothing to choose from."""
    with database.writing() as session:
        first, second = (_response(session, owner, id, each) for each in (left, right))
        if first.parent == second.parent and first.content.strip() != second.content.strip():
            session.add(ResponseComparison(conversation=id, left=left, right=right, created=time.time()))


def open_comparison(session: Session, id: str, leaf: int | None) -> ResponseComparison | None:
    """The comparison that the last message of a branch is in, if nobody has chosen yet."""
    if leaf is None:
        return None
    is_one = or_(ResponseComparison.left == leaf, ResponseComparison.right == leaf)
    query = select(ResponseComparison).where(ResponseComparison.conversation == id, is_one)
    return session.scalar(query.where(ResponseComparison.choice.is_(None)))


def compared(session: Session, comparison: ResponseComparison) -> tuple[ChatMessage, ChatMessage]:
    """The two responses, the left one first."""
    return session.get_one(ChatMessage, comparison.left), session.get_one(ChatMessage, comparison.right)


def choose(database: LabelingDatabase, owner: str, id: str, comparison: int, choice: Choice) -> None:
    """Save a choice, and go on from the response that was chosen; of a tie or neither, from the left one."""
    with database.writing() as session:
        conversation = find(session, owner, id)
        found = session.get(ResponseComparison, comparison)
        if found is None or found.conversation != id:
            raise ConversationNotFound("There is no such comparison.")
        if found.choice is not None:
            raise FeedbackRefused("You have chosen already. Load the page again.")
        if conversation.leaf not in (found.left, found.right):
            raise FeedbackRefused("The conversation has gone on. Load the page again.")
        found.choice, found.time = choice, time.time()
        served_opinions.record_choice(session, *compared(session, found), choice)
        conversation.leaf = found.right if choice == "right" else found.left


def _response(session: Session, owner: str, id: str, response: int) -> ChatMessage:
    find(session, owner, id)
    message = session.get(ChatMessage, response)
    if message is None or message.conversation != id or message.role != "assistant":
        raise ConversationNotFound("There is no such response.")
    return message


def _put(
    session: Session, response: ChatMessage, kind: FeedbackKind, *, is_up: bool | None, text: str
) -> None:
    session.execute(delete(ResponseFeedback).where(*_of(response.id, kind)))
    model = version_of(response)
    values = {"is_up": is_up, "text": text, "model": model, "time": time.time()}
    session.add(ResponseFeedback(message=response.id, kind=kind, **values))


def version_of(response: ChatMessage) -> str:
    """The version that responded, without the aliases that it had: NAME/3."""
    return response.model.partition(" ")[0]


def _of(response: int, kind: FeedbackKind) -> tuple[ColumnElement[bool], ...]:
    return ResponseFeedback.message == response, ResponseFeedback.kind == kind
