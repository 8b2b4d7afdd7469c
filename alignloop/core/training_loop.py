"""Training on given rows: optimiser steps over shuffled passes. Pretraining, SFT and reward model differ only in what a step learns."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypedDict, Unpack

import numpy as np
import torch
from torch import nn

from alignloop.core.batches import steps_of
from alignloop.core.losses import at_step, finite
from alignloop.core.train_state import (
    State,
    draws_of,
    moments_of,
    put_draws,
    put_moments,
    put_weights,
    weights_of,
)


def cosine(step: int, steps: int, warmup: float, floor: float = 0.1) -> float:
    """Share of the peak learning rate at `step` (from 0): linear warm-up over `warmup`·steps, then a cosine down to `floor`."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


class Schedule(TypedDict):
    """How long and how fast to train: passes over the rows, peak learning rate, its warm-up, AdamW's decay; what draws the order."""

    epochs: float
    learning_rate: float
    warmup: float
    weight_decay: float
    random: np.random.Generator


class Training:
    """Trains a model in place while it is iterated; yields (step, steps, metrics) after each optimiser step.

    `learn` adds the gradient of the rows whose indices it gets, and returns metrics. Every pass is a fresh permutation of all rows.
    `names` are what the rows are called in messages.
    """

    def __init__(
        self,
        model: nn.Module,
        rows: int,
        learn: Callable[[list[int]], dict[str, float]],
        *,
        rows_per_step: int,
        names: Sequence[str] = (),
        **schedule: Unpack[Schedule],
    ) -> None:
        self.step, self.steps = 0, steps_of(rows, rows_per_step, schedule["epochs"])
        self._model, self._rows, self._learn, self._rows_per_step = model, rows, learn, rows_per_step
        self._peak, self._warmup, self._random, self._names = (
            schedule["learning_rate"],
            schedule["warmup"],
            schedule["random"],
            names,
        )
        decay = schedule["weight_decay"]
        self._optimiser = torch.optim.AdamW(
            model.parameters(), lr=self._peak, betas=(0.9, 0.95), weight_decay=decay, fused=True
        )
        self._order: list[int] = []  # what is left of the pass
        model.eval()  # no dropout: eval mode only switches that, gradients flow

    def __iter__(self) -> Iterator[tuple[int, int, dict[str, float]]]:
        while self.step < self.steps:
            rate = self._peak * cosine(self.step, self.steps, self._warmup)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            self._order = self._order or self._random.permutation(self._rows).tolist()
            chosen, self._order = self._order[: self._rows_per_step], self._order[self._rows_per_step :]
            with at_step(
                self.step + 1,
                [self._names[row] for row in chosen] if self._names else (),
                self._model.parameters(),
            ):
                metrics = self._learn(chosen)
                norm = finite(
                    torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0), "the gradient's norm"
                )
            self._optimiser.step()
            self._optimiser.zero_grad()
            self.step += 1
            yield self.step, self.steps, {**metrics, "grad_norm": float(norm), "learning_rate": rate}

    def state(self) -> State:
        """All that the steps still to come depend on, but for the rows."""
        learned = {"weights": weights_of(self._model), "moments": moments_of(self._optimiser)}
        return {"step": self.step, **learned, "random": draws_of(self._random), "order": self._order}

    def restore(self, state: State) -> None:
        """Go on from where another training of the same rows was left."""
        put_weights(self._model, state["weights"])
        put_moments(self._optimiser, state["moments"])
        put_draws(self._random, state["random"])
        self.step, self._order = state["step"], list(state["order"])
