"""A rule as configs/rules.yaml states it: what it looks for, where, and what is done about it."""

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from alignloop.data.pii.redaction import FINDERS
from alignloop.params.address import address_of
from alignloop.params.section import Positive, Section
from alignloop.rules.patterns import check_keywords, check_pattern

Side = Literal["prompt", "response"]
Action = Literal["block", "ask_person", "redact", "log"]
ACTIONS: Sequence[Action] = ("block", "ask_person", "redact", "log")  # the strongest first
KEY_VARIABLE = "ALIGNLOOP_RULES_KEY"
LOOKS_FOR = ("pattern", "keywords", "pii", "classifier", "judge")
HAS_PLACES = {"pattern", "keywords", "pii"}  # what they find is a part of a text, which can be redacted

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]


def _kind_of_data(kind: str) -> str:
    if kind not in FINDERS:
        raise ValueError(f"must be one of {', '.join(FINDERS)}")
    return kind


class ClassifierCheckpoint(Section):
    """A sequence classifier of one label, or a path to one; a text hits the rule above `above`."""

    path: Text
    above: Annotated[float, Field(allow_inf_nan=False)]


class JudgeQuestion(Section):
    """A model behind an OpenAI-compatible endpoint; a text hits the rule if its answer is yes."""

    url: Annotated[str, AfterValidator(address_of(KEY_VARIABLE))]
    name: Text
    question: Text
    timeout_s: Positive = 20.0


class Rule(Section):
    """One rule. `languages` are ISO 639-1 codes; None: all. `message` is what is shown for a block,
    and while a person is asked.
    """

    pattern: Annotated[str, AfterValidator(check_pattern)] | None = None
    keywords: Annotated[list[Text], Field(min_length=1), AfterValidator(check_keywords)] | None = None
    pii: Annotated[list[Annotated[str, AfterValidator(_kind_of_data)]], Field(min_length=1)] | None = None
    classifier: ClassifierCheckpoint | None = None
    judge: JudgeQuestion | None = None
    checks: Literal["prompt", "response", "both"]
    languages: (
        Annotated[
            list[Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]],
            Field(min_length=1),
        ]
        | None
    ) = None
    action: Action
    message: Text | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "Rule":
        stated = [name for name in LOOKS_FOR if getattr(self, name) is not None]
        if len(stated) != 1:
            found = f"there are {' and '.join(stated)}" if stated else "there is none"
            raise ValueError(f"must have exactly one of {', '.join(LOOKS_FOR)}; {found}")
        if self.action == "redact" and stated[0] not in HAS_PLACES:
            raise ValueError(
                f"action: a {stated[0]} finds no part of a text that could be redacted; must be block, "
                "ask_person or log"
            )
        if self.action == "block" and self.message is None:
            raise ValueError("message: must say what people are shown in place of what is blocked")
        if self.action in ("redact", "log") and self.message is not None:
            raise ValueError(f"message: is not shown where the action is {self.action}; remove it")
        return self

    @property
    def kind(self) -> str:
        """What it looks for: one of LOOKS_FOR."""
        return next(name for name in LOOKS_FOR if getattr(self, name) is not None)

    @property
    def stops(self) -> bool:
        """Whether what hits it is not let through."""
        return self.action in ("block", "ask_person")

    def applies_to(self, side: Side) -> bool:
        """Whether it looks at prompts, or at responses."""
        return self.checks in (side, "both")

    @property
    def version(self) -> str:
        """A hash of what it looks for and where, without what is done about it."""
        stated = self.model_dump(include={*LOOKS_FOR, "checks", "languages"})
        return blake2b(json.dumps(stated, sort_keys=True).encode(), digest_size=4).hexdigest()
