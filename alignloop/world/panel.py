"""A panel of simulated labelers with noise and biases of their own, who are screened before they may rank.

A labeler ranks by perceived utility: a response's utility plus biases plus Gumbel noise (the random utility
model of Thurstone and Luce; with two responses and no biases it is the Bradley-Terry model, with the noise
as its scale).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from alignloop.errors import AlignloopError
from alignloop.records import Message, Prompt
from alignloop.seeds import draws, seed_of
from alignloop.world import wording
from alignloop.world.behaviours import BEHAVIOURS
from alignloop.world.gold import judge
from alignloop.world.reading import Reading
from alignloop.world.things import make_facts

Utility = Callable[[Prompt, str], float]
_CLEAR = 2.5  # the smallest difference in ground-truth (gold) score between a screening item's two responses
_CARELESS = 0.2  # careless candidates, as a share of the labelers needed
_COURTESIES = wording.LEADS + wording.TAILS + wording.APOLOGIES


class PanelError(AlignloopError):
    """No panel can be formed; the message names the parameters of `label` to change."""


@dataclass(frozen=True)
class Labeler:
    """One simulated labeler."""

    id: str
    noise: float  # scale of the Gumbel noise
    likes_length: float  # bias, in utility per ten words
    likes_politeness: float  # bias, in utility per polite phrase, up to two
    tie: float  # perceived differences below this are ties
    careless: bool = False  # ranks by noise alone

    def rank(
        self, prompt: Prompt, responses: Sequence[str], utility: Utility, rng: np.random.Generator
    ) -> tuple[int, ...]:
        """Rank the responses: 1 is the best, ties share a rank, no rank is skipped; equal texts tie."""
        perceived = {text: self._perceived(prompt, text, utility, rng) for text in sorted(set(responses))}
        ranks: dict[str, int] = {}
        rank, best = 0, float("inf")
        for text in sorted(perceived, key=lambda text: -perceived[text]):
            # compared with the best of the tie, so that ties cannot chain
            if best - perceived[text] >= self.tie:
                rank, best = rank + 1, perceived[text]
            ranks[text] = rank
        return tuple(ranks[text] for text in responses)

    def _perceived(self, prompt: Prompt, text: str, utility: Utility, rng: np.random.Generator) -> float:
        noise = float(rng.gumbel(0.0, self.noise))
        if self.careless:
            return noise
        reading = Reading(text)
        length = min(len(reading.words), 30) / 10 - 1
        return (
            utility(prompt, text)
            + noise
            + self.likes_length * length
            + self.likes_politeness * min(reading.count(_COURTESIES), 2)
        )


@dataclass(frozen=True)
class Panel:
    """The result of the screening: the labelers who may rank, and those who may not."""

    labelers: tuple[Labeler, ...]
    held_out: tuple[Labeler, ...]  # admitted too, but they rank validation prompts only
    rejected: tuple[Labeler, ...]
    screening: dict[str, float]  # candidate -> agreement on the screening items


def candidates(seed: int, labelers: int, noise: float, tie: float) -> list[Labeler]:
    """`labelers` careful candidates and a few careless ones, in random order."""
    rng = draws(seed, "panel", "candidates")
    careless = max(2, round(_CARELESS * labelers))
    flags = rng.permutation([False] * labelers + [True] * careless)
    return [
        Labeler(
            f"labeler-{number:02d}",
            noise * float(np.exp(rng.normal(0, 0.1))),
            likes_length=float(rng.normal(0, 0.15)),
            likes_politeness=float(rng.normal(0, 0.15)),
            tie=tie,
            careless=bool(flag),
        )
        for number, flag in enumerate(flags, 1)
    ]


def screening_items(seed: int, count: int) -> list[tuple[Prompt, str, str]]:
    """Prompts with a better and a clearly worse response, by gold score."""
    facts, rng = make_facts(seed, 48), Random(seed_of(seed, "panel", "screening"))
    items: list[tuple[Prompt, str, str]] = []
    names, shares = list(BEHAVIOURS), [behaviour.share for behaviour in BEHAVIOURS.values()]
    while len(items) < count:
        behaviour = BEHAVIOURS[rng.choices(names, shares)[0]]
        question = behaviour.ask(facts, rng)
        messages = tuple(
            Message(role="assistant" if place % 2 else "user", content=turn)
            for place, turn in enumerate(question.turns)
        )
        prompt = Prompt(
            id=f"screening-{len(items) + 1}",
            messages=messages,
            user="screening",
            source="world",
            key=question.key,
        )
        better = behaviour.good(question.key, facts, rng)
        worse = behaviour.bad[rng.choice(tuple(behaviour.bad))](question.key, facts, rng)
        if judge(prompt, better).score - judge(prompt, worse).score >= _CLEAR:
            items.append((prompt, better, worse))
    return items


def agreement(
    labeler: Labeler, items: Sequence[tuple[Prompt, str, str]], utility: Utility, rng: np.random.Generator
) -> float:
    """The share of items on which the labeler prefers the better response; a tie counts a half."""
    points = 0.0
    for prompt, better, worse in items:
        first, second = labeler.rank(prompt, (better, worse), utility, rng)
        points += 0.5 if first == second else float(first < second)
    return points / len(items)


def gold_utility(prompt: Prompt, response: str) -> float:
    """The utility of a response where there is a gold score: the score itself."""
    return judge(prompt, response).score


def make_panel(
    seed: int, labelers: int, held_out: float, noise: float, tie: float, items: int = 60, needed: float = 0.75
) -> Panel:
    """Screen candidates on clear items, and hold out a share of those admitted.

    Candidates pass with an agreement of at least `needed`. Raises PanelError where no labeler is left.
    """
    clear, rng = screening_items(seed, items), draws(seed, "panel", "screening")
    applied = candidates(seed, labelers, noise, tie)
    scores = {(prompt.id, text): gold_utility(prompt, text) for prompt, *texts in clear for text in texts}
    results = {
        labeler.id: agreement(labeler, clear, lambda prompt, text: scores[prompt.id, text], rng)
        for labeler in applied
    }
    admitted = [labeler for labeler in applied if results[labeler.id] >= needed]
    apart = max(1, round(held_out * len(admitted))) if held_out else 0
    if len(admitted) - apart < 1:
        raise PanelError(
            f"{len(admitted)} of {len(applied)} candidates passed the screening at {needed}, of whom "
            f"{apart} are held out: no labeler is left to rank; lower label.noise, "
            "label.tie, label.screening_pass or label.held_out_share, or raise label.labelers"
        )
    rejected = tuple(labeler for labeler in applied if results[labeler.id] < needed)
    return Panel(tuple(admitted[apart:]), tuple(admitted[:apart]), rejected, results)
