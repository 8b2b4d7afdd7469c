"""A plan of `distill`: a YAML file that says whom to ask, for what, and at what cost at most."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from alignloop.data.formats.sources import UNKNOWN
from alignloop.errors import AlignloopError
from alignloop.params.address import address_of
from alignloop.params.section import Count, Positive, Section, Share, Whole
from alignloop.params.yaml_file import values_in

KEY_VARIABLE = "ALIGNLOOP_TEACHER_KEY"
EXAMPLE = "configs/teacher.yaml"
FIXED = {"model", "messages", "n", "stream", "seed", "temperature"}  # of a request: other keys set them

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
Price = Annotated[float, Field(ge=0)]


class DistillError(AlignloopError):
    """The plan, the teacher or what it writes cannot be used; the message says what helps."""


class RejectedError(DistillError):
    """The teacher's server finds one request invalid, such as a prompt beyond its context."""


def _terms(terms: str) -> str:
    try:
        if terms != UNKNOWN:
            return canonicalize_license_expression(terms)
    except InvalidLicenseExpression:
        pass
    raise ValueError(
        "must be an SPDX expression of the terms under which you may use what this teacher writes "
        "(https://spdx.org/licenses), or LicenseRef-NAME where SPDX has none, such as LicenseRef-Acme-Terms"
    )


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error})") from None
    return text


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    if taken := sorted(FIXED & settings.keys()):
        raise ValueError(f"must not set {', '.join(taken)}, which the plan's other keys and `distill` set")
    return settings


Pattern = Annotated[str, AfterValidator(_pattern)]


class TeacherModel(Section):
    """An OpenAI-compatible endpoint; its key is in the environment, as ALIGNLOOP_TEACHER_KEY.

    `settings` are further keys of a request; null takes one out that is sent by default (max_tokens).
    """

    url: Annotated[str, AfterValidator(address_of(KEY_VARIABLE))]
    name: Text
    terms: Annotated[str, AfterValidator(_terms)]
    system: Text | None
    temperature: Annotated[float, Field(ge=0, le=2)]
    max_reply_tokens: Count
    settings: Annotated[dict[str, Any], AfterValidator(_settings)]
    max_concurrency: Count
    timeout_s: Positive


class TokenPrice(Section):
    """What a million tokens cost, of prompts and of replies, in a currency."""

    prompt: Price
    reply: Price
    currency: Text


class Budget(Section):
    """Bounds of a distillation, over all runs of the plan together; `price` is null where it is not known."""

    max_requests: Count
    max_tokens: Count
    price: TokenPrice | None


class SelfInstruct(Section):
    """`max_similarity` is of ROUGE-L, F-measure; `words` are the fewest and the most of an instruction."""

    instructions: Count
    per_request: Annotated[int, Field(ge=1, le=50)]
    max_similarity: Share
    words: tuple[Count, Count] = Field(strict=False)
    language: str | None
    blocklist: list[Text]

    @model_validator(mode="after")
    def _in_order(self) -> "SelfInstruct":
        if self.words[0] > self.words[1]:
            raise ValueError(f"words: the fewest ({self.words[0]}) exceed the most ({self.words[1]})")
        return self


class Principle(Section):
    """A written principle: what to criticise a response for, and how to revise it."""

    critique: Text
    revision: Text


class Plan(Section):
    """`prompts` are the prompts, the rankings (`rewrites`), or the seed tasks (`self-instruct`).

    `refusals` are regular expressions of replies that are left out as refusals, beside those that the server
    marks. `max_left_out` is the share of replies beyond which the run stops.
    """

    way: Literal["answers", "self-instruct", "rewrites", "critique"]
    prompts: Text
    limit: Count | None
    out: Text
    seed: Whole
    teacher: TeacherModel
    budget: Budget
    refusals: list[Pattern]
    max_left_out: Share
    rewrite: Text
    principles: Text
    revisions: Count
    self_instruct: SelfInstruct


class _Principles(Section):
    principles: Annotated[list[Principle], Field(min_length=1)]


def load_plan(file: Path) -> Plan:
    """Read a plan. Raises DistillError, which names every key that is wrong, and ParamsError for no YAML."""
    return _parse(Plan, file, f"{EXAMPLE} has all keys")


def load_principles(file: Path) -> list[Principle]:
    """Read written principles."""
    return _parse(_Principles, file, "configs/principles.yaml shows how they are written").principles


def _parse(kind: Any, file: Path, remedy: str) -> Any:
    try:
        return kind.model_validate(values_in(file, remedy))
    except ValidationError as error:
        faults = [
            f"{file}: {'.'.join(map(str, fault['loc'])) or 'the file'}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        ]
        raise DistillError("\n".join([*faults, f"correct it; {remedy}"])) from None
