"""Tables of what is served: API keys and their use, guests' sessions, conversations, messages, numbers.

They are in the labeling database, apart from its other tables, because no stage reads them. A change here
needs a migration (migrations/versions).
"""

from typing import Any, Literal

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from alignloop.labeling.schema import Table
from alignloop.tool_turns import RolloutTurn, Turns

MessageRole = Literal["user", "assistant"]
MessageState = Literal[
    "complete",
    "stopped",
    "cut",  # at the limit of tokens
    "failed",
    "blocked",  # by a rule
    "waiting",  # for a person
    "person",  # a person responded
    "refused",  # a person refused to respond
]
WHOLE = ("complete", "cut")  # states of responses that nobody stopped
UNREAD = ("blocked", "waiting", "refused")  # states of responses that no model reads later, nor the prompts


class ApiKey(Table):
    """A key of the API. Only a hash of it is stored; limits count requests, None: unlimited."""

    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Any]]
    per_minute: Mapped[int | None]
    per_day: Mapped[int | None]
    created: Mapped[float]
    revoked: Mapped[float | None]


class ApiUse(Table):
    """Requests of a key in one minute or one day (UTC); `start` is in seconds since 1970."""

    __tablename__ = "api_use"
    key: Mapped[int] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    window: Mapped[str] = mapped_column(primary_key=True)
    start: Mapped[int] = mapped_column(primary_key=True)
    requests: Mapped[int]


class GuestSession(Table):
    """The browser of a guest; `id` is a hash of its cookie. The guest's conversations end with it."""

    __tablename__ = "guests"
    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(unique=True)  # guest-…
    form_key: Mapped[str]
    expires: Mapped[float]


class Conversation(Table):
    """A conversation of one owner, an account or a guest. `leaf` is the last message of the branch shown."""

    __tablename__ = "conversations"
    __table_args__ = (Index("conversations_of_owner", "owner", "updated"),)
    id: Mapped[str] = mapped_column(primary_key=True)  # random
    owner: Mapped[str]
    title: Mapped[str]
    model: Mapped[str]  # as asked for: NAME@alias or NAME/3
    system: Mapped[str] = mapped_column(Text)
    sampling: Mapped[dict[str, Any]]
    leaf: Mapped[int | None]
    created: Mapped[float]
    updated: Mapped[float]


class ChatMessage(Table):
    """A message of a conversation. Messages with one parent are branches: edited prompts, other responses."""

    __tablename__ = "chat_messages"
    __table_args__ = (UniqueConstraint("conversation", "id"), Index("chat_messages_parent", "parent"))
    id: Mapped[int] = mapped_column(primary_key=True)
    conversation: Mapped[str] = mapped_column(ForeignKey("conversations.id"))
    parent: Mapped[int | None] = mapped_column(ForeignKey("chat_messages.id"))
    role: Mapped[MessageRole] = mapped_column(String)
    content: Mapped[str] = mapped_column(Text)
    model: Mapped[str]  # the version that responded, with its aliases then; "" for a prompt
    state: Mapped[MessageState] = mapped_column(String)
    left_out: Mapped[int]  # earlier messages that the model did not get: they exceeded its context
    system: Mapped[str | None] = mapped_column(Text)  # the system prompt of a response; None: not recorded
    created: Mapped[float]
    turns: Mapped[list[Any] | None]  # of a response that may have called tools: those of a RolloutTurn each

    @property
    def steps(self) -> Turns:
        """All turns of a response that may have called tools, its last one included."""
        return tuple(RolloutTurn.model_validate(each) for each in self.turns or ())


class ServedNumber(Table):
    """How much a number of the server grew in an hour; `key` is its labels as one text."""

    __tablename__ = "served_numbers"
    hour: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # its beginning
    name: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[dict[str, Any]]
    value: Mapped[float]
