"""Fitting a language model to rows of tokens: pretraining and SFT are this loop with other rows.

Left out: sequence packing (rows of like length share a pass instead: alignloop/core/batches.py), mixed precision.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.batches import by_length, shuffled, steps_of
from alignloop.core.lanes import backward, in_lanes
from alignloop.core.losses import finite, language_model_loss
from alignloop.core.models import logits_at
from alignloop.core.tokens import Encoded, pad_right


def cosine(step: int, steps: int, warmup: float, floor: float = 0.1) -> float:
    """Share of the peak learning rate at `step` (from 0): linear warm-up over `warmup`·steps, then a cosine down to `floor`."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def places_of(rows: Sequence[Encoded], pad: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """ids (B, T), mask (B, T), places (B, T) whose next token is a target, and those targets (N,)."""
    ids, mask = pad_right([row.ids for row in rows], pad)
    target, _ = pad_right([[int(on) for on in row.mask] for row in rows], 0)
    places = torch.zeros_like(mask)
    places[:, :-1] = target[:, 1:].bool()  # the first token has nothing before it and is no target
    return ids, mask, places, ids[:, 1:][places[:, :-1]]


def targets_in(rows: Sequence[Encoded]) -> int:
    """How many tokens the loss is on."""
    return sum(sum(row.mask[1:]) for row in rows)


def accumulate(model: PreTrainedModel, rows: Sequence[Encoded], pad: int, weight: float = 1.0) -> float:
    """Add the gradient of weight · (mean loss over the target tokens of all rows); returns that mean loss in nats per token."""
    tokens = targets_in(rows)

    def loss(batch: list[int]) -> tuple[Tensor, float]:
        ids, mask, places, targets = places_of([rows[index] for index in batch], pad)
        mean = finite(language_model_loss(logits_at(model, ids, mask, places), targets) / tokens, "the language-model loss")
        return mean * weight, float(mean.detach())

    return sum(backward(loss, by_length([len(row.ids) for row in rows]), [*model.parameters()]))


@torch.no_grad()
def mean_loss(model: PreTrainedModel, rows: Sequence[Encoded], pad: int) -> float:
    """Mean cross-entropy in nats per target token; its exponential is the perplexity."""
    model.eval()

    def loss(batch: list[int]) -> float:
        ids, mask, places, targets = places_of([rows[index] for index in batch], pad)
        return float(language_model_loss(logits_at(model, ids, mask, places), targets))

    return sum(in_lanes(loss, by_length([len(row.ids) for row in rows]))) / targets_in(rows)


def fit(
    model: PreTrainedModel,
    rows: Sequence[Encoded],
    pad: int,
    *,
    epochs: float,
    rows_per_step: int,
    learning_rate: float,
    warmup: float,
    weight_decay: float,
    random: np.random.Generator,
    mixed: Sequence[Encoded] = (),
    mixed_share: float = 0.0,
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Train in place; yields (step, steps, metrics) after each optimiser step.

    Of each step's rows the share `mixed_share` (below 1) is drawn from `mixed` (pretraining text kept alive during SFT), on top of
    `rows_per_step` rows from `rows`; their tokens count like all others.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=weight_decay)
    steps = steps_of(len(rows), rows_per_step, epochs)
    model.eval()  # no dropout: eval mode only switches that, gradients flow
    for step, chosen in enumerate(shuffled(len(rows), rows_per_step, epochs, random)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * cosine(step, steps, warmup)
        batch = [rows[index] for index in chosen]
        if mixed:
            extra = round(len(chosen) * mixed_share / (1 - mixed_share))
            batch += [mixed[index] for index in random.integers(len(mixed), size=extra)]
        loss = accumulate(model, batch, pad)
        norm = finite(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0), "the gradient's norm")
        optimiser.step()
        optimiser.zero_grad()
        yield step + 1, steps, {"loss": loss, "grad_norm": float(norm), "learning_rate": optimiser.param_groups[0]["lr"]}
