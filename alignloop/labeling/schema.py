"""Tables of the labeling database: labelers, rounds, items, assignments, submissions, reviews and the audit.

Times are seconds since 1970 by the server's clock. Ranks and ratings are in the order of the item's
responses; `presented` holds the order in which the labeler saw them. A change here needs a migration
(migrations/versions). Some attributes have a clearer name than their column; the column names are fixed
by stored databases.
"""

from typing import Any, ClassVar, Literal

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from alignloop.records import Split

Role = Literal["labeler", "reviewer", "moderator", "admin"]
LabelerStatus = Literal["active", "paused", "excluded"]
Job = Literal["rank", "demonstrate", "converse"]
Purpose = Literal["work", "quiz", "gold", "review"]
State = Literal["open", "expired", "done", "skipped"]


class Table(DeclarativeBase):
    """Column types shared by all tables: lists and objects are JSON, literals are text."""

    type_annotation_map: ClassVar[Any] = {
        **{kind: JSON(none_as_null=True) for kind in (dict[str, Any], list[Any])},
        **dict.fromkeys((Role, LabelerStatus, Job, Purpose, State, Split), String),
    }


class Labeler(Table):
    """One person who labels, reviews or administers.

    `qualified` is None until the qualification quiz is done, then whether it was passed; `quiz_agreement` is
    the share of the quiz's pairs that agreed.
    """

    __tablename__ = "labelers"
    id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[Role]
    status: Mapped[LabelerStatus] = mapped_column("standing", default="active")
    password: Mapped[str | None]
    link: Mapped[str | None] = mapped_column(unique=True)  # hash of the invitation link's secret
    link_expires: Mapped[float | None]
    qualified: Mapped[bool | None]
    quiz_agreement: Mapped[float | None] = mapped_column("score")
    created: Mapped[float]


class SignInSession(Table):
    """A signed-in browser; `id` is a hash of the cookie, so the table alone allows no sign-in."""

    __tablename__ = "visits"
    id: Mapped[str] = mapped_column(primary_key=True)
    labeler: Mapped[str] = mapped_column(ForeignKey("labelers.id"))
    form_key: Mapped[str]  # sent with every form (CSRF token): another site cannot know it
    expires: Mapped[float]


class Round(Table):
    """A published round of rankings.

    `digest` identifies its samples; `closed` is when its rankings became final.
    """

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
    """A prompt to write a demonstration for, or a prompt with K responses to rank.

    `taken` counts open assignments, `done` counts finished ones, `skips` counts labelers who skipped it.
    """

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
    turns: Mapped[list[Any] | None]  # of each response, where they may have called tools
    # the reference order of a quiz or gold item, and why it is right
    known_ranks: Mapped[list[Any] | None] = mapped_column("known")
    why: Mapped[str] = mapped_column(Text, default="", server_default="")
    policy: Mapped[str]
    split: Mapped[Split]
    wanted: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    skips: Mapped[int] = mapped_column(default=0)
    active: Mapped[bool] = mapped_column(default=True)


class Assignment(Table):
    """An item assigned to a labeler, with the draft of the submission. The lease ends at `expires`.

    Attempt 2 is a repeat that measures how consistent the labeler is.
    """

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
    started: Mapped[float] = mapped_column("begun")
    expires: Mapped[float]
    reopened: Mapped[float | None]  # its submission counts until another takes its place


class Submission(Table):
    """The one submission of an assignment: ranks and ratings, a conversation, or the reason for a skip.

    `late` is whether its round was closed already: the order of transactions decides, not the clocks.
    """

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
    about: Mapped[dict[str, Any]]  # the labeler's notes on the prompt
    messages: Mapped[list[Any] | None]
    skipped: Mapped[str | None] = mapped_column(Text)
    guidelines: Mapped[str]
    seconds: Mapped[float]  # from the first view to the submission
    active_seconds: Mapped[float | None]  # with the page in view, as the browser counts
    submitted: Mapped[float]
    late: Mapped[bool] = mapped_column(default=False)


class Review(Table):
    """A blind comparison of a candidate with another model.

    Its items are in the round `review ID`, the candidate's response first. `identical` counts the
    prompts to which both gave the same response; they are not shown. `report` is for the person who
    decides: gates and win rates.
    """

    __tablename__ = "reviews"
    id: Mapped[str] = mapped_column(primary_key=True)  # hash of the candidate's bytes
    candidate: Mapped[str]  # as registered: NAME/N
    other: Mapped[str]
    digest: Mapped[str]
    identical: Mapped[int] = mapped_column("alike")
    report: Mapped[dict[str, Any]] = mapped_column("told")
    published: Mapped[float]
    decided: Mapped[float | None]
    continued: Mapped[float | None]  # when the pipeline was started again


class Guideline(Table):
    """One version of the guidelines, identified by the hash of its text."""

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
