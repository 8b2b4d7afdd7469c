"""A judge model compares two models' responses to the same prompts, each pair in both orders.

A pair counts as won where both orders say so; where they differ it is a tie. So a judge that prefers what
it reads first earns nobody a win, and the share of such pairs is reported.
"""

from collections.abc import Sequence
from hashlib import blake2b
from statistics import fmean
from typing import NamedTuple, Protocol

from alignloop.core.metrics import win_rate_of_outcomes
from alignloop.labeling.llm_judge import Judge, Verdict
from alignloop.records import Prompt, Record, Samples


class JudgedPair(Record):
    """A pair with what the judge said of it, the first model's response first and then second.

    `outcomes` are 1 where the first model's response was better, ½ for a tie, 0 where it was worse. Identical
    responses are a tie that nobody is asked about: they have no replies.
    """

    id: str
    prompt: str
    models: tuple[str, str]
    responses: tuple[str, str]
    outcomes: tuple[float, float]
    replies: tuple[str, ...]

    @property
    def outcome(self) -> float:
        """1, ½ or 0: who is better in both orders."""
        return self.outcomes[0] if self.outcomes[0] == self.outcomes[1] else 0.5


class Answered(Protocol):
    """A model's response to a prompt, such as an EvaluatedResponse."""

    @property
    def id(self) -> str: ...
    @property
    def prompt(self) -> Prompt: ...
    @property
    def model(self) -> str: ...
    @property
    def response(self) -> str: ...


class _Pair(NamedTuple):
    mine: Answered
    other: Answered

    @property
    def identical(self) -> bool:
        """Whether both responses are the same text."""
        return self.mine.response == self.other.response


def judge_pairs(judge: Judge, mine: Sequence[Answered], theirs: Sequence[Answered]) -> list[JudgedPair]:
    """The judged pairs of two models' responses, which are to the same prompts in the same order."""
    shared = [_Pair(*pair) for pair in zip(mine, theirs, strict=True)]
    asked = [pair for pair in shared if not pair.identical]
    samples = [sample for pair in asked for sample in (_sample(*pair), _sample(pair.other, pair.mine))]
    said = iter(list(judge.verdicts(samples, shuffled=False)))
    return [_same(pair) if pair.identical else _judged(pair, next(said), next(said)) for pair in shared]


def _sample(first: Answered, second: Answered) -> Samples:
    """Two responses in this order; the id depends on them, so that models share what is cached."""
    texts = blake2b(repr((first.response, second.response)).encode(), digest_size=6).hexdigest()
    return Samples(
        id=f"{first.prompt.id}-{texts}",
        prompt=first.prompt,
        responses=(first.response, second.response),
        policy=first.model,
        round="judged",
        split="test",
    )


def _judged(pair: _Pair, first: Verdict, second: Verdict) -> JudgedPair:
    outcomes = _outcome(first.ranks), 1 - _outcome(second.ranks)
    return _record(pair, outcomes, (first.reply, second.reply))


def _same(pair: _Pair) -> JudgedPair:
    return _record(pair, (0.5, 0.5), ())


def _record(pair: _Pair, outcomes: tuple[float, float], replies: tuple[str, ...]) -> JudgedPair:
    return JudgedPair(
        id=f"{pair.mine.id}-{pair.other.model}",
        prompt=pair.mine.prompt.id,
        models=(pair.mine.model, pair.other.model),
        responses=(pair.mine.response, pair.other.response),
        outcomes=outcomes,
        replies=replies,
    )


def _outcome(ranks: Sequence[int]) -> float:
    """1 where the first of two is better, ½ for a tie, 0 where it is worse."""
    return (1 + (ranks[0] < ranks[1]) - (ranks[0] > ranks[1])) / 2


def report(pairs: Sequence[JudgedPair]) -> dict[str, float]:
    """The win rate of the first model with its interval, and how far the judge can be trusted.

    `self_consistency` is the share of the pairs it was asked about on which both orders agree;
    `position_bias` is how much more often it preferred what it read first, −1 to 1.
    """
    asked = [pair for pair in pairs if pair.replies]
    firsts = [value for pair in asked for value in (pair.outcomes[0], 1 - pair.outcomes[1])]
    return {
        **win_rate_of_outcomes([pair.outcome for pair in pairs]).as_dict(),
        "asked": len(asked),
        "self_consistency": fmean(pair.outcomes[0] == pair.outcomes[1] for pair in asked) if asked else 1.0,
        "position_bias": 2 * fmean(firsts) - 1 if firsts else 0.0,
    }
