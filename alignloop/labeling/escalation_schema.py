"""The table of escalations: what a rule leaves to a person. A change here needs a migration."""

from typing import Literal

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from alignloop.labeling.schema import Table

EscalationState = Literal["open", "answered", "refused"]


class Escalation(Table):
    """A response that a person gives. `message` is what the user sees in its place until then.

    `side` is what hit the rule, prompt or response; `draft` is the model's response, "" where the model did
    not read the prompt. `moderator` is who closed it.
    """

    __tablename__ = "escalations"
    __table_args__ = (Index("escalations_state", "state", "created"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    conversation: Mapped[str] = mapped_column(ForeignKey("conversations.id"))
    message: Mapped[int] = mapped_column(ForeignKey("chat_messages.id"), unique=True)
    rule: Mapped[str]
    side: Mapped[str]
    draft: Mapped[str] = mapped_column(Text)
    state: Mapped[EscalationState] = mapped_column(String)
    moderator: Mapped[str | None]
    created: Mapped[float]
    closed: Mapped[float | None]
