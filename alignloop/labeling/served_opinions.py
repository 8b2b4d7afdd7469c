"""Opinions by version: thumbs, and choices between two versions, each person counted once by their first.

A person who deletes a conversation takes the text along, not the count. People are independent of each other,
and what one of them says again is not.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session

from alignloop.core.anytime import Counted
from alignloop.labeling.feedback_schema import Choice, OpinionKind, ServedOpinion
from alignloop.labeling.serving_schema import ChatMessage, Conversation

VALUES: dict[Choice, float] = {"left": 1.0, "right": 0.0, "tie": 0.5, "neither": 0.5}
NOTHING = Counted(0, 0)


@dataclass(frozen=True)
class Compared:
    """The versions that are compared, NAME/N each."""

    candidate: str
    champion: str

    def other(self, model: str) -> str:
        """The version that this one is compared with; "" if it is neither."""
        return {self.candidate: self.champion, self.champion: self.candidate}.get(model, "")


def record_thumb(
    session: Session, response: ChatMessage, is_up: bool | None, compared: Compared | None = None
) -> None:
    """Count a thumb on a response, in place of an earlier one; None takes it back.

    With `compared` the person does not know which of the two versions responded.
    """
    conversation = session.get_one(Conversation, response.conversation)
    model = response.model.partition(" ")[0]
    rows = (ServedOpinion.message == response.id, ServedOpinion.kind != "choice")
    found = {each.kind: each for each in session.scalars(select(ServedOpinion).where(*rows))}
    if is_up is None:
        for each in found.values():
            _take_back(session, each, conversation.owner)
        return
    for each in found.values():
        each.value = float(is_up)
    others: dict[OpinionKind, str] = {"thumb": ""}
    if compared and (other := compared.other(model)):
        others["blind"] = other
    for kind, other in others.items():
        if kind not in found:
            about = {"model": model, "other": other, "value": float(is_up)}
            _add(session, conversation, response.id, kind, **about)


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


def blind_thumbs_of_people(session: Session, compared: Compared) -> dict[str, Counted]:
    """The first thumb of each person on either version while they were compared; hits are down."""
    return _thumbs(session, *_between(compared), kind="blind")


def choices_of_people(session: Session, compared: Compared) -> Counted:
    """The first choice of each person between the two: hits are for the candidate, a tie is a half each."""
    query = select(ServedOpinion.model, ServedOpinion.value)
    found = session.execute(query.where(ServedOpinion.kind == "choice", *_between(compared)))
    values = [value if left == compared.candidate else 1 - value for left, value in found]
    return Counted(sum(values), len(values) - sum(values))


def _between(compared: Compared) -> tuple[ColumnElement[bool], ...]:
    """First opinions on one of two versions as against the other."""
    both = (compared.candidate, compared.champion)
    return ServedOpinion.is_first.is_(True), ServedOpinion.model.in_(both), ServedOpinion.other.in_(both)


def _thumbs(
    session: Session, *conditions: ColumnElement[bool], kind: OpinionKind = "thumb"
) -> dict[str, Counted]:
    query = (
        select(ServedOpinion.model, func.count(), func.sum(ServedOpinion.value))
        .where(ServedOpinion.kind == kind, *conditions)
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
    """The owner's opinions of one kind on the same version by the same name, the oldest first.

    Choices between two versions are alike whichever was on the left.
    """
    sides = (opinion.model, opinion.other)
    is_pair = opinion.kind == "choice"
    query = (
        select(ServedOpinion)
        .join(ChatMessage, ChatMessage.id == ServedOpinion.message)
        .join(Conversation, Conversation.id == ChatMessage.conversation)
        .where(
            Conversation.owner == owner,
            ServedOpinion.kind == opinion.kind,
            ServedOpinion.asked == opinion.asked,
            ServedOpinion.model.in_(sides if is_pair else sides[:1]),
            ServedOpinion.other.in_(sides if is_pair else sides[1:]),
        )
    )
    return session.scalars(query.order_by(ServedOpinion.id)).all()
