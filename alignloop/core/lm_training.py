"""Fitting a language model to rows of tokens: pretraining and SFT are this loop with other rows.

Rows of like length share a pass, or short rows are packed into one without seeing each other. Left out: mixed precision.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Unpack

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.batches import by_fill, by_length
from alignloop.core.losses import finite, language_model_loss, naming
from alignloop.core.models import branched_states, logits_at, logits_of
from alignloop.core.packing import lay_out, sight
from alignloop.core.parallel_passes import backward, in_lanes
from alignloop.core.tokens import Encoded, pad_right
from alignloop.core.training_loop import Schedule, Training


def places_of(rows: Sequence[Encoded], pad: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """ids (B, T), mask (B, T), places (B, T) whose next token is a target, and those targets (N,)."""
    ids, mask = pad_right([row.ids for row in rows], pad)
    target, _ = pad_right([[int(on) for on in row.mask] for row in rows], 0)
    places = torch.zeros_like(mask)
    places[:, :-1] = target[:, 1:].bool()  # the first token has nothing before it and is no target
    return ids, mask, places, ids[:, 1:][places[:, :-1]]


def packed_logits(model: PreTrainedModel, rows: Sequence[Encoded], pad: int) -> tuple[Tensor, Tensor]:
    """Logits (N, V) of the rows' targets and those targets (N,), from one pass of all rows side by side."""
    ids, positions, owners = lay_out([[[], *(row.ids for row in rows)]], pad)
    target = torch.tensor([list(chain.from_iterable(row.mask for row in rows))])
    places = torch.zeros_like(target)
    places[:, :-1] = target[:, 1:] & (
        owners[:, 1:] == owners[:, :-1]
    )  # a row's first token follows nothing, and no row follows another
    return logits_of(model, branched_states(model.base_model, ids, positions, sight(owners))[places]), ids[
        :, 1:
    ][places[:, :-1]]


def targets_in(rows: Sequence[Encoded]) -> int:
    """How many tokens the loss is on."""
    return sum(sum(row.mask[1:]) for row in rows)


def accumulate(
    model: PreTrainedModel, rows: Sequence[Encoded], pad: int, weight: float = 1.0, packing: bool = False
) -> float:
    """Add the gradient of weight · (mean loss over the target tokens of all rows); returns that mean loss in nats per token."""
    tokens = targets_in(rows)

    def loss(batch: list[int]) -> tuple[Tensor, float]:
        chosen = [rows[index] for index in batch]
        if packing:
            logits, targets = packed_logits(model, chosen, pad)
        else:
            ids, mask, places, targets = places_of(chosen, pad)
            logits = logits_at(model, ids, mask, places)
        mean = finite(language_model_loss(logits, targets) / tokens, "the language-model loss", batch)
        return mean * weight, float(mean.detach())

    passes = (by_fill if packing else by_length)([len(row.ids) for row in rows])
    return sum(backward(loss, passes, [*model.parameters()]))


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
    rows_per_step: int,
    mixed: Sequence[Encoded] = (),
    mixed_share: float = 0.0,
    packing: bool = False,
    **schedule: Unpack[Schedule],
) -> Training:
    """A training of the model, in place, on `rows`.

    Of each step's rows the share `mixed_share` (below 1) is drawn from `mixed` (pretraining text kept alive during SFT), on top of
    `rows_per_step` rows from `rows`; their tokens count like all others. With `packing`, rows
    stand side by side in passes without padding.
    """

    def learn(chosen: list[int]) -> dict[str, float]:
        batch = [rows[index] for index in chosen]
        if mixed:
            extra = round(len(chosen) * mixed_share / (1 - mixed_share))
            batch += [mixed[index] for index in schedule["random"].integers(len(mixed), size=extra)]
        with naming([row.name for row in batch]):
            return {"loss": accumulate(model, batch, pad, packing=packing)}

    return Training(
        model, len(rows), learn, rows_per_step=rows_per_step, names=[row.name for row in rows], **schedule
    )
