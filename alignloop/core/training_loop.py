"""The training loop of pretraining, SFT and the reward model: optimiser steps over shuffled epochs."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypedDict, Unpack

import numpy as np
import torch
from torch import nn

from alignloop.core import devices
from alignloop.core.batches import steps_of
from alignloop.core.numeric_checks import at_step, finite
from alignloop.core.train_state import (
    State,
    moments_of,
    put_moments,
    put_random_state,
    put_weights,
    random_state_of,
    weights_of,
)
from alignloop.phases import phase


def cosine(step: int, steps: int, warmup: float, floor: float = 0.1) -> float:
    """Share of the peak learning rate at `step` (from 0): linear warm-up, then cosine decay to `floor`.

    The warm-up takes `warmup`·steps.
    """
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


class Schedule(TypedDict):
    """How long and how fast to train."""

    epochs: float
    learning_rate: float  # the peak
    warmup: float  # share of all steps
    weight_decay: float  # of AdamW
    random: np.random.Generator  # draws the order of the rows


class Training:
    """Trains a model in place while it is iterated; yields (step, steps, metrics) after each optimiser step.

    `learn` adds the gradient of the rows with the given indices and returns metrics. Every epoch is a new
    permutation of all rows. `names` are what messages call the rows.
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
        self._model, self._learn = devices.shard(model), learn
        self._rows, self._rows_per_step = rows, rows_per_step
        self._names = names
        self._peak, self._warmup = schedule["learning_rate"], schedule["warmup"]
        self._random = schedule["random"]
        decay = schedule["weight_decay"]
        self._optimiser = torch.optim.AdamW(
            [weight for weight in model.parameters() if weight.requires_grad],
            lr=self._peak,
            betas=(0.9, 0.95),
            weight_decay=decay,
            fused=True,
        )
        self._order: list[int] = []  # the rest of the epoch
        model.eval()  # switches dropout off, but not gradients

    def __iter__(self) -> Iterator[tuple[int, int, dict[str, float]]]:
        while self.step < self.steps:
            rate = self._peak * cosine(self.step, self.steps, self._warmup)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            self._order = self._order or self._random.permutation(self._rows).tolist()
            chosen, self._order = self._order[: self._rows_per_step], self._order[self._rows_per_step :]
            names = [self._names[row] for row in chosen] if self._names else ()
            with at_step(self.step + 1, names, self._model.parameters()), phase("step", of=self.step + 1):
                metrics = self._learn(chosen)
                norm = finite(
                    torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0), "the gradient's norm"
                )
            self._optimiser.step()
            self._optimiser.zero_grad()
            self.step += 1
            yield self.step, self.steps, {**metrics, "grad_norm": float(norm), "learning_rate": rate}

    def state(self) -> State:
        """Everything that the remaining steps depend on, except for the rows."""
        learned = {"weights": weights_of(self._model), "moments": moments_of(self._optimiser)}
        return {"step": self.step, **learned, "random": random_state_of(self._random), "order": self._order}

    def restore(self, state: State) -> None:
        """Resume from the state of another training on the same rows."""
        put_weights(self._model, state["weights"])
        put_moments(self._optimiser, state["moments"])
        put_random_state(self._random, state["random"])
        self.step, self._order = state["step"], list(state["order"])
