"""Parameters of `ppo.score`: what PPO raises, the round's reward model or a weighted sum of named parts."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from alignloop.params.address import address_of
from alignloop.params.section import Count, Positive, Section


def _weight(weight: float) -> float:
    if weight == 0:
        raise ValueError("must not be 0: leave the part out")
    return weight


def _name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise ValueError("the name of a part must be 1 to 40 small letters, digits and _, a letter first")
    return name


def _path(path: str) -> str:
    if path.removeprefix("./").startswith("models/"):
        raise ValueError(
            "is made by this very run; kind: reward is the round's reward model, kind: checkpoint another one"
        )
    return path


FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def named_function(name: str) -> str:
    if not FUNCTION.fullmatch(name):
        raise ValueError("must be module:function, such as scores.brevity:brief for a file in scores/")
    return name


Weight = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_weight)]
Shift = Annotated[float, Field(allow_inf_nan=False)]


class RewardPart(Section):
    """The round's reward model, which is normalised already."""

    kind: Literal["reward"]
    weight: Weight


class VerifiablePart(Section):
    """A check of the response, 0 to 1, against what the prompt's record holds in `check`."""

    kind: Literal["final_number", "instructions"]
    weight: Weight


class CitedPart(Section):
    """A check of the response, 0 to 1, against the passages that the search has shown it."""

    kind: Literal["citations", "quotes"]
    weight: Weight


class JudgeModel(Section):
    """A judge model behind an OpenAI-compatible endpoint; ALIGNLOOP_SCORE_KEY is its key."""

    url: Annotated[str, AfterValidator(address_of("ALIGNLOOP_SCORE_KEY"))]
    name: Annotated[str, Field(min_length=1)]


class SupportedPart(Section):
    """1 where what a response states is in the passages that it cites, else 0.

    `judge: null` is the exact test of the built-in environment's documented facts.
    """

    kind: Literal["supported"]
    judge: JudgeModel | None
    weight: Weight


class RulePart(Section):
    """1 where a response hits a rule of configs/rules.yaml; `version` is that of what the rule looks for."""

    kind: Literal["rule"]
    rule: Annotated[str, AfterValidator(_name)]
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    weight: Weight


class CheckpointPart(Section):
    """Another reward model, with its own tokenizer and chat template: a path, or an id on the hub."""

    kind: Literal["checkpoint"]
    path: Annotated[str, Field(min_length=1), AfterValidator(_path)]
    weight: Weight
    shift: Shift | None


class ServedPart(Section):
    """A reward model or judge behind an address."""

    kind: Literal["http"]
    url: Annotated[str, AfterValidator(address_of("ALIGNLOOP_SCORE_KEY"))]
    weight: Weight
    shift: Shift | None


class FunctionPart(Section):
    """A function `(prompts, responses) -> scores`."""

    kind: Literal["function"]
    function: Annotated[str, AfterValidator(named_function)]
    weight: Weight
    shift: Shift | None


def _kind(part: Any) -> str:
    """The tag of a part, in brackets: no key of params.yaml."""
    return f"[{part.get('kind') if isinstance(part, dict) else getattr(part, 'kind', None)}]"


ScorePart = Annotated[
    Annotated[RewardPart, Tag("[reward]")]
    | Annotated[VerifiablePart, Tag("[final_number]")]
    | Annotated[VerifiablePart, Tag("[instructions]")]
    | Annotated[CitedPart, Tag("[citations]")]
    | Annotated[CitedPart, Tag("[quotes]")]
    | Annotated[SupportedPart, Tag("[supported]")]
    | Annotated[RulePart, Tag("[rule]")]
    | Annotated[CheckpointPart, Tag("[checkpoint]")]
    | Annotated[ServedPart, Tag("[http]")]
    | Annotated[FunctionPart, Tag("[function]")],
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message="kind must be reward, checkpoint, http, function, final_number, instructions, "
        "citations, quotes, supported or rule",
    ),
]
ScoreParts = Annotated[dict[Annotated[str, AfterValidator(_name)], ScorePart], Field(min_length=1)]
Score = Annotated[
    Annotated[Literal["reward"], Tag("[word]")] | Annotated[ScoreParts, Tag("[parts]")],
    Discriminator(lambda score: "[parts]" if isinstance(score, dict) else "[word]"),
]


class Scoring(Section):
    """How parts of `ppo.score` that are computed elsewhere are asked; no part of the result."""

    timeout_s: Positive
    max_concurrency: Count
    responses_per_request: Count
