"""The record types that stages exchange: one JSON object per line, one file per set.

Every field is checked when a record is read; an unknown field is an error. A prompt's `key` holds what the
built-in environment needs to compute the exact ground-truth (gold) score, the truth of a fact for example;
it is None for prompts from people, and no model ever sees it.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from alignloop.record_base import Identifier, Record, Text
from alignloop.tool_turns import ToolCall, Turns

DomainName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]  # a kind of text
Split = Literal["train", "valid", "test"]


class Message(Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


def check_turns(messages: tuple[Message, ...], last: str | None) -> None:
    """Raise ValueError unless user and assistant alternate, after an optional system message.

    The conversation must end with `last`; None: with either.
    """
    turns = messages[1:] if messages and messages[0].role == "system" else messages
    if not turns:
        raise ValueError("the conversation has no turns")
    for place, message in enumerate(turns):
        wanted = "user" if place % 2 == 0 else "assistant"
        if message.role != wanted:
            raise ValueError(
                f"turn {place + 1} is by '{message.role}' where '{wanted}' must speak: roles alternate, "
                "user first"
            )
    if last and turns[-1].role != last:
        raise ValueError(f"the conversation ends with '{turns[-1].role}', not with '{last}'")


def check_order(ranks: tuple[int, ...], responses: int) -> None:
    """Raise ValueError unless `ranks` is a weak order of the responses: 1, 2, … without gaps, with ties."""
    if len(ranks) != responses:
        raise ValueError(f"{len(ranks)} ranks for {responses} responses")
    if sorted(set(ranks)) != list(range(1, len(set(ranks)) + 1)):
        raise ValueError(f"ranks {list(ranks)} are not a weak order 1, 2, … without gaps")


class Origin(Record):
    """Where a record was read: the source's licence (SPDX), the SHA-256 of the file, and the line.

    A generated record has a licence only.
    """

    licence: str
    sha256: str | None = None
    line: int | None = None


Traced = Annotated[Origin | None, Field(exclude_if=lambda origin: origin is None)]
# ISO 639-1, or und for an undetermined language; None: `prepare` did not detect it
Language = Annotated[str | None, Field(exclude_if=lambda language: language is None)]


class Teacher(Record):
    """The model that wrote a demonstration's last turn, and how.

    `name` is what was asked for; `model` and `fingerprint` are what the server stated. `prompt_sha256` is the
    hash of the messages that it replied to, `terms` the licence of what it writes, as the user stated it.
    """

    name: Text
    model: str | None
    fingerprint: str | None
    way: Literal["answers", "self-instruct", "rewrites", "critique"]
    prompt_sha256: str
    terms: Text


class Document(Record):
    """A piece of the pretraining corpus: plain text, or a dialogue; `domain` is its kind, if stated."""

    id: Identifier
    text: Text | None = None
    messages: tuple[Message, ...] | None = None
    source: str
    domain: Annotated[DomainName | None, Field(exclude_if=lambda domain: domain is None)] = None
    origin: Traced = None
    language: Language = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Document":
        if (self.text is None) == (self.messages is None):
            raise ValueError("a document has either `text` or `messages`")
        if self.messages is not None:
            check_turns(self.messages, last=None)
        return self


class Instruction(Record):
    """An instruction whose following can be checked: its id and arguments as in IFEval (arXiv 2311.07911)."""

    id: Identifier
    kwargs: dict[str, Any] = Field(default={})


class Check(Record):
    """What verifiable rewards check responses to a prompt against; no model ever sees it."""

    answer: Text | None = None  # the number that a right response ends with
    instructions: tuple[Instruction, ...] = ()


class Prompt(Record):
    """A conversation that ends with the user's turn. `check` has the fields of a Check."""

    id: Identifier
    messages: tuple[Message, ...]
    user: Identifier
    category: str = "other"
    time: str = ""
    source: str
    key: dict[str, Any] | None = None
    check: dict[str, Any] | None = Field(default=None, exclude_if=lambda check: check is None)
    origin: Traced = None
    language: Language = None

    @model_validator(mode="after")
    def _ends_with_user(self) -> "Prompt":
        check_turns(self.messages, last="user")
        return self

    @model_validator(mode="after")
    def _check_is_one(self) -> "Prompt":
        if self.check is not None:
            self.checked()
        return self

    def checked(self) -> Check:
        """What responses are checked against; empty where there is nothing."""
        return Check.model_validate(self.check or {})


class Demonstration(Record):
    """A conversation whose assistant turns a labeler wrote; with `teacher` a model wrote the last one.

    `calls` are the calls of tools before the last turn, in their order.
    """

    id: Identifier
    messages: tuple[Message, ...]
    user: Identifier
    labeler: Identifier
    category: str = "other"
    time: str = ""
    source: str
    origin: Traced = None
    language: Language = None
    teacher: Annotated[Teacher | None, Field(exclude_if=lambda teacher: teacher is None)] = None
    calls: Annotated[tuple[ToolCall, ...], Field(exclude_if=lambda calls: not calls)] = ()

    @model_validator(mode="after")
    def _ends_with_assistant(self) -> "Demonstration":
        check_turns(self.messages, last="assistant")
        return self


class Samples(Record):
    """K responses of one policy to one prompt, to be ranked. A response may be empty: models do that.

    With tools, `turns` has for each response all that led to it, which is the last of them.
    """

    id: Identifier
    prompt: Prompt
    responses: tuple[str, ...] = Field(min_length=2)
    policy: str
    round: str
    split: Split
    turns: tuple[Turns, ...] | None = Field(default=None, exclude_if=lambda turns: turns is None)

    @model_validator(mode="after")
    def _turns_of_each(self) -> "Samples":
        if self.turns is not None and len(self.turns) != len(self.responses):
            raise ValueError(f"turns of {len(self.turns)} responses, and there are {len(self.responses)}")
        return self


class Labeling(Record):
    """How a person made a ranking.

    `presented` lists the responses' indices in the order shown; `ratings` are in the responses' own order.
    """

    presented: tuple[int, ...]
    seconds: float
    active_seconds: float | None
    guidelines: str
    ratings: tuple[dict[str, int], ...] = ()
    about: dict[str, str] = Field(default={})


class Ranking(Record):
    """One labeler's weak order of K responses to one prompt: rank 1 is the best, equal ranks are ties.

    `simulated_by` is the rule by which a simulated labeler (kind `panel`) ranked; None for all others.
    """

    id: Identifier
    prompt: Prompt
    responses: tuple[str, ...] = Field(min_length=2)
    ranks: tuple[int, ...]
    labeler: Identifier
    kind: Literal["person", "panel", "judge"]
    simulated_by: Literal["gold", "form"] | None = Field(default=None, exclude_if=lambda rule: rule is None)
    policy: str
    round: str
    split: Split = "train"
    time: str = ""
    origin: Traced = None
    labeling: Labeling | None = Field(default=None, exclude_if=lambda labeling: labeling is None)

    @model_validator(mode="after")
    def _weak_order(self) -> "Ranking":
        check_order(self.ranks, len(self.responses))
        return self


class BinaryLabel(Record):
    """Whether one response to a prompt is good, as a person or a judge model said; KTO learns from it."""

    id: Identifier
    prompt: Prompt
    response: str
    good: bool
    labeler: Identifier
    by: Literal["person", "judge"]
    policy: str
    round: str
    split: Split = "train"
    time: str = ""
    origin: Traced = None


class Rollout(Record):
    """One response drawn by PPO. `score` is what PPO raises, `reward` is score and KL penalty together.

    `scores` has the parts of `ppo.score` by name, as their sources give them. `tokens` are the policy's. With
    tools, `turns` has all that led to the response, which is the last of them.
    """

    id: Identifier
    prompt: str
    response: str
    step: int
    ended: bool
    tokens: int
    score: float
    scores: dict[str, float] | None = Field(default=None, exclude_if=lambda scores: scores is None)
    kl: float
    reward: float
    round: str
    turns: Turns | None = Field(default=None, exclude_if=lambda turns: turns is None)


class EvaluatedResponse(Record):
    """One model's response to a test prompt; `gold` is None without a key, `tokens` are the last turn's."""

    id: Identifier
    prompt: Prompt
    model: str
    response: str
    tokens: int
    ended: bool
    score: float
    gold: float | None
    passed: bool | None
    made_up: bool | None
    over_refused: bool | None
    turns: Turns | None = Field(default=None, exclude_if=lambda turns: turns is None)


RAW_SETS: dict[type[Record], str] = {  # what `ingest` writes: the set of each type, in this order
    Document: "documents",
    Prompt: "prompts",
    Demonstration: "demonstrations",
    Ranking: "rankings",
    BinaryLabel: "labels",
}
RARE_SETS = (BinaryLabel,)  # of which there is no file where there is no record
LABELS = "labels"  # the folder of binary labels in one of rankings, which readers of rankings do not see


def prompt_of(record: Record) -> Record:
    """The prompt that a judgement is of; other records are their own."""
    return record.prompt if isinstance(record, Ranking | BinaryLabel) else record
