"""Two models' responses to the same prompts: where the candidate's is better, worse or the same, to read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from alignloop.markdown import number, one_line
from alignloop.records import EvaluatedResponse

JUDGES = {
    "gold": "gold",
    "judge_model": "the judge model",
    "held_out_model": "the held-out reward model",
    "reward_model": "the reward model",
}
TOLERANCE = 1e-9  # a smaller difference is none, as in win rates


@dataclass(frozen=True)
class Contrast:
    """Both responses to a prompt, and the judge's values of them."""

    candidate: EvaluatedResponse
    other: EvaluatedResponse
    values: tuple[float, float]

    @property
    def difference(self) -> float:
        """By how much the judge puts the candidate's response above the other."""
        return self.values[0] - self.values[1]


class Contrasts(NamedTuple):
    """The prompts on which the candidate is better, worse and the same, those to read first come first."""

    judge: Literal["gold", "reward_model"]
    better: list[Contrast]
    worse: list[Contrast]
    same: list[Contrast]


def contrasts(responses: Sequence[EvaluatedResponse]) -> Contrasts:
    """Compare the policy's responses with the other model's, prompt by prompt.

    By gold where every prompt has a gold score, otherwise by the reward model. The largest difference comes
    first, and of equal ones the first in the test set; of ties, those whose texts differ.
    """
    others = {each.prompt.id: each for each in responses if each.model != "policy"}
    pairs = [
        (each, others[each.prompt.id])
        for each in responses
        if each.model == "policy" and each.prompt.id in others
    ]
    by_gold = all(each.gold is not None for pair in pairs for each in pair)
    found = [Contrast(one, other, (_value(one, by_gold), _value(other, by_gold))) for one, other in pairs]
    largest_first = sorted(found, key=lambda each: -abs(each.difference))
    same = [each for each in found if abs(each.difference) <= TOLERANCE]
    return Contrasts(
        judge="gold" if by_gold else "reward_model",
        better=[each for each in largest_first if each.difference > TOLERANCE],
        worse=[each for each in largest_first if each.difference < -TOLERANCE],
        same=sorted(same, key=lambda each: each.candidate.response == each.other.response),
    )


def _value(response: EvaluatedResponse, by_gold: bool) -> float:
    return response.gold if by_gold and response.gold is not None else response.score


def selection_rule(found: Contrasts, count: int) -> str:
    """How often the candidate is better, worse and the same, and which examples of each are shown."""
    total = len(found.better) + len(found.worse) + len(found.same)
    text = (
        f"By {JUDGES[found.judge]}, the candidate's response is better on {len(found.better):,} of {total:,} "
        f"test prompts, worse on {len(found.worse):,} and the same on {len(found.same):,}. Shown: of each, "
        f"the {'one' if count == 1 else count} with the largest difference (of equal ones the first in the "
        "test set)."
    )
    if found.judge == "reward_model":
        text += " The candidate was trained to score high with this reward model, which therefore favours it."
    return text


def render(found: Contrasts, count: int, other: str, most: int) -> str:
    """`count` prompts of each outcome in Markdown, with at most `most` characters of a text."""
    parts = [selection_rule(found, count)]
    for outcome in ("better", "worse", "same"):
        chosen: list[Contrast] = getattr(found, outcome)[:count]
        for each in chosen:
            parts += _example(outcome, found.judge, each, other, most)
        if not chosen:
            parts.append(f"**The candidate is {_outcome(outcome)} on no prompt.**")
    return "\n\n".join(parts)


def _example(outcome: str, judge: str, each: Contrast, other: str, most: int) -> Iterator[str]:
    mine, theirs = (number(value, 2) for value in each.values)
    yield f"**The candidate is {_outcome(outcome)}**: {mine} against {theirs} by {JUDGES[judge]}"
    yield f"> {one_line(each.candidate.prompt.messages[-1].content, most)}"
    texts = (one_line(response.response, most) for response in (each.candidate, each.other))
    yield "\n".join(f"- {name}: {text}" for name, text in zip(("candidate", other), texts, strict=True))


def _outcome(outcome: str) -> str:
    return "the same" if outcome == "same" else outcome
