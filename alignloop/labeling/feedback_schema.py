"""Tables of consent and feedback in chat: statements, decisions, edits, choices, suggestions, opinions.

They are in the labeling database, apart from its other tables, because no stage reads them. A change here
needs a migration (migrations/versions).
"""

from typing import Literal

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from alignloop.labeling.schema import Table

FeedbackKind = Literal["thumb", "edit"]
Choice = Literal["left", "right", "tie", "neither"]
Outcome = Literal["accepted", "part", "dismissed"]
OpinionKind = Literal["thumb", "blind", "choice"]


class ConsentStatement(Table):
    """What people were asked to agree to: `version` is a hash of text and licence; kept for good."""

    __tablename__ = "consent_statements"
    version: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    licence: Mapped[str]
    since: Mapped[float]


class ConsentDecision(Table):
    """A person agreed to a statement, or withdrew; the last one counts."""

    __tablename__ = "consent_decisions"
    __table_args__ = (Index("consent_decisions_of_owner", "owner", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    version: Mapped[str] = mapped_column(ForeignKey("consent_statements.version"))
    agreed: Mapped[bool]
    time: Mapped[float]


class ChatPerson(Table):
    """The random name by which exported records know an owner of conversations."""

    __tablename__ = "chat_people"
    owner: Mapped[str] = mapped_column(primary_key=True)
    pseudonym: Mapped[str] = mapped_column(unique=True)


class ResponseFeedback(Table):
    """What the owner thinks of a response: a thumb (`text` is the reason), or what it should have been."""

    __tablename__ = "response_feedback"
    __table_args__ = (UniqueConstraint("message", "kind"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    message: Mapped[int] = mapped_column(ForeignKey("chat_messages.id"))
    kind: Mapped[FeedbackKind] = mapped_column(String)
    is_up: Mapped[bool | None]  # of a thumb
    text: Mapped[str] = mapped_column(Text)
    model: Mapped[str]  # the version that responded: NAME/3
    time: Mapped[float]


class ResponseComparison(Table):
    """Two responses to a prompt that were shown side by side; `choice` is None until the owner has chosen."""

    __tablename__ = "response_comparisons"
    __table_args__ = (Index("response_comparisons_of_conversation", "conversation"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    conversation: Mapped[str] = mapped_column(ForeignKey("conversations.id"))
    left: Mapped[int] = mapped_column(ForeignKey("chat_messages.id"), unique=True)
    right: Mapped[int] = mapped_column(ForeignKey("chat_messages.id"), unique=True)
    choice: Mapped[Choice | None] = mapped_column(String)
    created: Mapped[float]
    time: Mapped[float | None]  # of the choice


class ServedOpinion(Table):
    """What a person thinks of a version: a thumb (`value` 1: up), or a choice against the version `other`.

    1 is for `model`, 0 for `other`, a half neither. A thumb while both are compared, and the person does not
    know which of them it is on, is `blind` too, in a row of its own. `asked` is the name that the person
    talked to. `is_first` is whether it is the first of its person on these versions by that name. When the
    conversation is deleted the row stays, and nothing in it says whose it was: `message` is None.
    """

    __tablename__ = "served_opinions"
    __table_args__ = (UniqueConstraint("message", "kind"), Index("served_opinions_of_model", "model", "kind"))
    id: Mapped[int] = mapped_column(primary_key=True)
    message: Mapped[int | None] = mapped_column(ForeignKey("chat_messages.id"))
    kind: Mapped[OpinionKind] = mapped_column(String)
    model: Mapped[str]
    other: Mapped[str]  # "" of a thumb
    asked: Mapped[str]
    value: Mapped[float]
    is_first: Mapped[bool]
    time: Mapped[float]


class Suggestion(Table):
    """A completion of a text that was being typed; `outcome` is None until it is accepted or dismissed."""

    __tablename__ = "suggestions"
    __table_args__ = (Index("suggestions_of_owner", "owner", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    system: Mapped[str] = mapped_column(Text)  # what the model was told to do
    text: Mapped[str] = mapped_column(Text)
    completion: Mapped[str] = mapped_column(Text)
    model: Mapped[str]  # the version that wrote it: NAME/3
    outcome: Mapped[Outcome | None] = mapped_column(String)
    taken: Mapped[str] = mapped_column(Text)  # what was accepted
    created: Mapped[float]
    time: Mapped[float | None]  # of the outcome
