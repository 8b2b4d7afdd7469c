"""What is proved of a sampler apart, by numbers: its weights are the policy's, and so is its distribution.

A server says yes to new weights that it did not take over, and reports log-probabilities of another
distribution than it draws from. Only its log-probabilities tell.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.batches import spread
from alignloop.core.generate import sample
from alignloop.core.logprobs import per_token_logprobs
from alignloop.core.models import vocabulary_of
from alignloop.core.sampler import sampler_gap
from alignloop.core.tokens import TokenRules

FIXED_ROWS = 8
CHANCE = 1e-6  # below which equal responses are no coincidence
SLACK = 0.1  # of a change in log-probabilities that need not have arrived, for rounding
STANDARD_ERRORS = 4
GROWTH = 10  # of a server's noise since its first weights that no rounding explains
NO_NOISE = 1e-4  # nats


class Arrival(NamedTuple):
    """What a server shows of a change of weights, by N log-probabilities.

    `share` is the projection of what the server shows on the change: 1 with the new weights, 0 with the old
    ones. `noise` and `change` are root mean squares in nats: what the server is off, and what changed.
    """

    share: float
    noise: float
    change: float
    tokens: int

    def is_doubtful(self, first_noise: float) -> bool:
        """Whether some of the change is missing, by more than noise explains: the server's, or its first."""
        if self.noise > max(GROWTH * first_noise, NO_NOISE, SLACK * self.change):
            return True
        if self.change == 0:
            return False
        error = self.noise / self.change / math.sqrt(self.tokens)
        return self.share < 1 - SLACK - STANDARD_ERRORS * error


class FixedRows:
    """Eight rows whose log-probabilities tell which weights a server has; the first policy drew them.

    They have `longest` tokens at most.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[list[int]],
        rules: TokenRules,
        *,
        max_new_tokens: int,
        longest: int,
    ) -> None:
        chosen = different_prompts(prompts, FIXED_ROWS)
        drawn = sample(
            model,
            chosen,
            rules,
            temperature=1.0,
            max_new_tokens=max_new_tokens,
            generator=torch.Generator().manual_seed(0),
            batch=FIXED_ROWS,
        )
        self.rows = [(prompt + ids)[:longest] for prompt, ids in zip(chosen, drawn.ids, strict=True)]
        self._starts = [len(prompt) for prompt in chosen]
        self._before: Tensor | None = None
        self._first_noise = 0.0

    def fault(self, model: PreTrainedModel, scored: Sequence[Tensor], max_gap: float) -> str | None:
        """What is wrong with the weights of a server that scored the rows; None: they are the model's.

        `scored` has the log-probabilities (T − 1,) of each row's tokens after the first, at temperature 1 and
        over the whole vocabulary.
        """
        firsts, others = [row[:1] for row in self.rows], [row[1:] for row in self.rows]
        policys = per_token_logprobs(model, firsts, others, every_token(model), temperature=1.0)
        now, server = torch.cat(policys), torch.cat(list(scored))
        before, self._before = self._before, now
        if before is None:
            # of responses: what a policy hardly ever says is noisier, in a prompt say
            parts = [
                (policys[row][start - 1 :], scored[row][start - 1 :])
                for row, start in enumerate(self._starts)
            ]
            gap = sampler_gap(*(torch.cat(side) for side in zip(*parts, strict=True)))
            if gap > max_gap:
                return (
                    f"it has other weights: on {len(self.rows)} fixed rows the mean of exp|policy − server| "
                    f"is {gap:.3f} a token, over rollout.max_gap ({max_gap:g})"
                )
            self._first_noise = arrival(now, now, server).noise
            return None
        found = arrival(before, now, server)
        if found.is_doubtful(self._first_noise):
            return (
                f"it did not take over the new weights: of the change in the log-probabilities of "
                f"{len(self.rows)} fixed rows, {found.share:.0%} arrived; they are {found.noise:.2g} nats off"
            )
        return None


def arrival(before: Tensor, now: Tensor, server: Tensor) -> Arrival:
    """What the server shows of the change before → now; all are N log-probabilities (N,)."""
    change, shown = (now - before).double(), (server - before).double()
    off = (server - now).double()
    size, scale = float(change.norm()), math.sqrt(len(now))
    share = float(shown @ change) / size**2 if size else 1.0
    return Arrival(share, noise=float(off.norm()) / scale, change=size / scale, tokens=len(now))


def equal_by_no_chance(
    prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], logprobs: Sequence[Tensor]
) -> bool:
    """Whether equal prompts, drawn with different seeds, got equal responses that chance does not explain."""
    order = sorted(range(len(prompts)), key=lambda row: list(prompts[row]))
    chance, repeated = 0.0, False
    for _, group in groupby(order, key=lambda row: list(prompts[row])):
        first, *others = group
        if any(list(responses[row]) != list(responses[first]) for row in others):
            return False
        repeated = repeated or bool(others)
        chance += len(others) * float(logprobs[first].sum())
    return repeated and chance < math.log(CHANCE)


def different_prompts(prompts: Sequence[list[int]], count: int) -> list[list[int]]:
    """At most `count` different prompts, evenly spread over all of them."""
    return [list(prompt) for prompt in spread(list(dict.fromkeys(map(tuple, prompts))), count)]


def every_token(model: PreTrainedModel) -> TokenRules:
    """The rules of log-probabilities over the whole vocabulary."""
    return TokenRules(torch.ones(vocabulary_of(model), dtype=torch.bool), end=0, pad=0)
