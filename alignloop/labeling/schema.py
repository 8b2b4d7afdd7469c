"""The records of the labeling store: who labels, what is to be labeled, who has it in hand, what came back, and every action.

Times are seconds since 1970, by the server's clock alone. Ranks and ratings stand in the order of the item's responses; what a
labeler saw first is in `presented`. A change here needs a migration beside it (migrations/versions).
"""

from typing import Any, ClassVar, Literal

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from alignloop.records import Split

Role = Literal["labeler", "reviewer", "admin"]
Standing = Literal["active", "paused", "excluded"]
Job = Literal["rank", "demonstrate", "converse"]
Purpose = Literal["work", "quiz", "gold", "review"]
State = Literal["open", "expired", "done", "skipped"]


class Table(DeclarativeBase):
    """What all tables share: lists and objects are JSON, words of a fixed set are text."""

    type_annotation_map: ClassVar[Any] = {
        **{kind: JSON(none_as_null=True) for kind in (dict[str, Any], list[Any])},
        **dict.fromkeys((Role, Standing, Job, Purpose, State, Split), String),
    }


class Labeler(Table):
    """One person. `qualified` is None until the quiz is done, then whether it was passed; `score` is the agreement there."""

    __tablename__ = "labelers"
    id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[Role]
    standing: Mapped[Standing] = mapped_column(default="active")
    password: Mapped[str | None]
    link: Mapped[str | None] = mapped_column(unique=True)  # a hash of the personal link's secret
    link_expires: Mapped[float | None]
    qualified: Mapped[bool | None]
    score: Mapped[float | None]
    created: Mapped[float]


class Visit(Table):
    """A signed-in browser; `id` is a hash of the cookie, so that the table opens no door."""

    __tablename__ = "visits"
    id: Mapped[str] = mapped_column(primary_key=True)
    labeler: Mapped[str] = mapped_column(ForeignKey("labelers.id"))
    form_key: Mapped[str]  # stands in every form: another site cannot know it
    expires: Mapped[float]


class Round(Table):
    """A round of rankings that is wanted. `digest` tells the samples; `closed` is when its rankings became final."""

    __tablename__ = "rounds"
    id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    published: Mapped[float]
    overlap: Mapped[int]
    enough: Mapped[float]
    deadline: Mapped[float | None]
    closed: Mapped[float | None]
    continued: Mapped[float | None]  # when the pipeline was started again


class Item(Table):
    """A prompt to answer, or K answers to rank. `taken` are at work on it now, `done` have finished, `skips` could not."""

    __tablename__ = "items"
    __table_args__ = (
        UniqueConstraint("round", "key"),
        Index("items_free", "purpose", "job", "active", "round", "done", "taken", "wanted"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    round: Mapped[str]  # the round's name, or the purpose
    key: Mapped[str]
    job: Mapped[Job]
    purpose: Mapped[Purpose]
    prompt: Mapped[dict[str, Any]]
    responses: Mapped[list[Any]]
    known: Mapped[list[Any] | None]  # ranks that are known to be right
    policy: Mapped[str]
    split: Mapped[Split]
    wanted: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    skips: Mapped[int] = mapped_column(default=0)
    active: Mapped[bool] = mapped_column(default=True)


class Assignment(Table):
    """An item in a labeler's hands until `expires`, with the draft of the answer; attempt 2 is a repeat that tests consistency."""

    __tablename__ = "assignments"
    __table_args__ = (
        UniqueConstraint("item", "labeler", "attempt"),
        Index("assignments_lease", "state", "expires"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[int] = mapped_column(ForeignKey("items.id"))
    labeler: Mapped[str] = mapped_column(ForeignKey("labelers.id"), index=True)
    attempt: Mapped[int] = mapped_column(default=1)
    state: Mapped[State] = mapped_column(default="open")
    presented: Mapped[list[Any]]
    draft: Mapped[dict[str, Any]]
    begun: Mapped[float]
    expires: Mapped[float]


class Answer(Table):
    """What a labeler gave for an assignment, once: ranks and ratings, or a conversation, or why the item was skipped."""

    __tablename__ = "answers"
    __table_args__ = (Index("answers_of_labeler", "labeler", "submitted"),)
    assignment: Mapped[int] = mapped_column(
        ForeignKey("assignments.id"), primary_key=True, autoincrement=False
    )
    item: Mapped[int] = mapped_column(ForeignKey("items.id"), index=True)
    labeler: Mapped[str] = mapped_column(ForeignKey("labelers.id"))
    attempt: Mapped[int]
    ranks: Mapped[list[Any] | None]
    ratings: Mapped[list[Any]]  # one object per response
    about: Mapped[dict[str, Any]]  # what was said of the prompt
    messages: Mapped[list[Any] | None]
    skipped: Mapped[str | None] = mapped_column(Text)
    guidelines: Mapped[str]
    seconds: Mapped[float]  # from first sight to submission
    active_seconds: Mapped[float | None]  # of these, with the page in view, as the browser counts them
    submitted: Mapped[float]


class Review(Table):
    """A candidate that people compare with another model, blind; its items are of the round `review ID`, the candidate's answer first.

    `alike` prompts got the same answer from both and are not shown. `told` is what else is known of the candidate, for whoever decides.
    """

    __tablename__ = "reviews"
    id: Mapped[str] = mapped_column(primary_key=True)  # the hash of the candidate's bytes
    candidate: Mapped[str]  # as registered: NAME/N
    other: Mapped[str]
    digest: Mapped[str]
    alike: Mapped[int]
    told: Mapped[dict[str, Any]]
    published: Mapped[float]
    decided: Mapped[float | None]
    continued: Mapped[float | None]  # when the pipeline was started again


class Guideline(Table):
    """A version of the guidelines, by the hash of its text."""

    __tablename__ = "guidelines"
    version: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    since: Mapped[float]


class Event(Table):
    """One line of the audit: who did what to what. The database refuses to change or remove lines."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_action", "action", "time"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[float]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    details: Mapped[dict[str, Any]]
