"""Opinions by version: thumbs, and choices between two versions, each person counted once by their first.

A person who deletes a conversation takes the text along, not the count. People are independent of each other,
and what one of them says again is not.
"""

import time
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session

from alignloop.core.anytime import Counted
from alignloop.labeling.feedback_schema import Choice, OpinionKind, ServedOpinion
from alignloop.labeling.serving_schema import ChatMessage, Conversation

VALUES: dict[Choice, float] = {"left": 1.0, "right": 0.0, "tie": 0.5, "neither": 0.5}
NOTHING = Counted(0, 0)


def record_thumb(session: Session, response: ChatMessage, model: str, is_up: bool | None) -> None:
    """Count a thumb on a response of a version, in place of an earlier one; None takes it back."""
    conversation = session.get_one(Conversation, response.conversation)
    found = _of(session, response.id, "thumb")
    if found and is_up is None:
        _take_back(session, found, conversation.owner)
    elif found:
        found.value = float(bool(is_up))
    elif is_up is not None:
        _add(session, conversation, response.id, "thumb", model=model, value=float(is_up))


def record_choice(session: Session, left: ChatMessage, right: ChatMessage, choice: Choice) -> None:
    """Count a choice between responses of two versions; between those of one it says nothing."""
    models = [each.model.partition(" ")[0] for each in (left, right)]
    if models[0] != models[1]:
        conversation = session.get_one(Conversation, left.conversation)
        values = {"model": models[0], "other": models[1], "value": VALUES[choice]}
        _add(session, conversation, left.id, "choice", **values)


def detach(session: Session, messages: Select[int]) -> None:
    """Let the opinions on messages that are about to be deleted stay as counts."""
    session.execute(update(ServedOpinion).where(ServedOpinion.message.in_(messages)).values(message=None))


def thumbs(session: Session) -> dict[str, Counted]:
    """All thumbs by version: hits are thumbs down."""
    return _thumbs(session)


def thumbs_of_people(session: Session, asked: str) -> dict[str, Counted]:
    """The first thumb of each person by version, of those who talked to the model `asked`; hits are down."""
    return _thumbs(session, ServedOpinion.is_first.is_(True), ServedOpinion.asked == asked)


def choices_of_people(session: Session, asked: str, model: str, other: str) -> Counted:
    """The first choice of each person between two versions: hits are for `model`, a tie is a half each."""
    query = select(ServedOpinion.model, ServedOpinion.value).where(
        ServedOpinion.kind == "choice",
        ServedOpinion.is_first.is_(True),
        ServedOpinion.asked == asked,
        ServedOpinion.model.in_((model, other)),
        ServedOpinion.other.in_((model, other)),
    )
    values = [value if left == model else 1 - value for left, value in session.execute(query)]
    return Counted(sum(values), len(values) - sum(values))


def _thumbs(session: Session, *conditions: ColumnElement[bool]) -> dict[str, Counted]:
    query = (
        select(ServedOpinion.model, func.count(), func.sum(ServedOpinion.value))
        .where(ServedOpinion.kind == "thumb", *conditions)
        .group_by(ServedOpinion.model)
    )
    return {model: Counted(count - ups, ups) for model, count, ups in session.execute(query)}


def _add(
    session: Session,
    conversation: Conversation,
    message: int,
    kind: OpinionKind,
    *,
    model: str,
    value: float,
    other: str = "",
) -> None:
    opinion = ServedOpinion(
        message=message,
        kind=kind,
        model=model,
        other=other,
        asked=conversation.model,
        value=value,
        is_first=False,
        time=time.time(),
    )
    opinion.is_first = not any(each.is_first for each in _alike(session, conversation.owner, opinion))
    session.add(opinion)


def _take_back(session: Session, opinion: ServedOpinion, owner: str) -> None:
    """Remove an opinion; the next one of the person counts in its place."""
    session.delete(opinion)
    session.flush()
    if opinion.is_first:
        for following in _alike(session, owner, opinion)[:1]:
            following.is_first = True


def _alike(session: Session, owner: str, opinion: ServedOpinion) -> Sequence[ServedOpinion]:
    """The owner's opinions of one kind on the same versions by the same name, the oldest first."""
    versions = (opinion.model, opinion.other)
    query = (
        select(ServedOpinion)
        .join(ChatMessage, ChatMessage.id == ServedOpinion.message)
        .join(Conversation, Conversation.id == ChatMessage.conversation)
        .where(
            Conversation.owner == owner,
            ServedOpinion.kind == opinion.kind,
            ServedOpinion.asked == opinion.asked,
            ServedOpinion.model.in_(versions),
            ServedOpinion.other.in_(versions),
        )
    )
    return session.scalars(query.order_by(ServedOpinion.id)).all()


def _of(session: Session, message: int, kind: OpinionKind) -> ServedOpinion | None:
    query = select(ServedOpinion).where(ServedOpinion.message == message, ServedOpinion.kind == kind)
    return session.scalar(query)
