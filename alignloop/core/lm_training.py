"""Training of a language model on rows of tokens; pretraining and SFT differ only in their rows.

Rows of similar length share a pass, or short rows are packed into one pass without attending to each other.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Unpack

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.batches import by_length, first_fit
from alignloop.core.family_check import packs
from alignloop.core.lm_loss import language_model_loss
from alignloop.core.models import branched_states, hidden_states
from alignloop.core.numeric_checks import finite, naming
from alignloop.core.packing import pack, packed_attention
from alignloop.core.parallel_passes import backward, in_parallel
from alignloop.core.tokens import Encoded, pad_right
from alignloop.core.training_loop import Schedule, Training
from alignloop.core.vocabulary_head import read_logits
from alignloop.phases import counted


def target_positions(rows: Sequence[Encoded], pad: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A padded batch: ids (B, T), mask (B, T), positions before targets (B, T), and targets (N,)."""
    ids, mask = pad_right([row.ids for row in rows], pad)
    target, _ = pad_right([[int(on) for on in row.mask] for row in rows], 0)
    positions = torch.zeros_like(mask)
    positions[:, :-1] = target[:, 1:].bool()  # the first token has no context, so it is no target
    return ids, mask, positions, ids[:, 1:][positions[:, :-1]]


def separate_states(model: PreTrainedModel, rows: Sequence[Encoded], pad: int) -> tuple[Tensor, Tensor]:
    """Last hidden states (N, H) before the rows' targets and these targets (N,), from one padded pass."""
    ids, mask, positions, targets = target_positions(rows, pad)
    return hidden_states(model.base_model, ids, mask)[positions], targets


def packed_states(model: PreTrainedModel, rows: Sequence[Encoded], pad: int) -> tuple[Tensor, Tensor]:
    """Last hidden states (N, H) before the rows' targets and these targets (N,), from one packed pass."""
    ids, positions, segments = pack([[[], *(row.ids for row in rows)]], pad)
    target = torch.tensor([list(chain.from_iterable(row.mask for row in rows))])
    before = torch.zeros_like(target)  # positions before a target of the same row
    before[:, :-1] = target[:, 1:] & (segments[:, 1:] == segments[:, :-1])
    states = branched_states(model.base_model, ids, positions, packed_attention(segments))
    return states[before], ids[:, 1:][before[:, :-1]]


def summed_loss(model: PreTrainedModel, states: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy in nats of targets (N,) after last hidden states (N, H)."""
    return torch.stack(read_logits(model, states, targets, language_model_loss)).sum().cpu()


def count_targets(rows: Sequence[Encoded]) -> int:
    """The number of tokens that the loss is on."""
    return sum(sum(row.mask[1:]) for row in rows)


def accumulate_gradients(
    model: PreTrainedModel, rows: Sequence[Encoded], pad: int, weight: float = 1.0, packing: bool = False
) -> float:
    """Add the gradient of weight · (mean loss per target token); returns that mean loss in nats."""
    tokens = count_targets(rows)

    def loss(batch: list[int]) -> tuple[Tensor, float]:
        chosen = [rows[index] for index in batch]
        states, targets = (packed_states if packing else separate_states)(model, chosen, pad)
        mean = finite(summed_loss(model, states, targets) / tokens, "the language-model loss", batch)
        return mean * weight, float(mean.detach())

    passes = (first_fit if packing else by_length)([len(row.ids) for row in rows])
    return sum(backward(loss, passes, [*model.parameters()]))


@torch.no_grad()
def mean_loss(model: PreTrainedModel, rows: Sequence[Encoded], pad: int) -> float:
    """Mean cross-entropy in nats per target token; its exponential is the perplexity."""
    model.eval()

    def loss(batch: list[int]) -> float:
        return float(summed_loss(model, *separate_states(model, [rows[index] for index in batch], pad)))

    passes = by_length([len(row.ids) for row in rows])
    return sum(counted("measuring the loss", in_parallel(loss, passes), len(passes))) / count_targets(rows)


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
    """A training of the model on `rows`, in place.

    The share `mixed_share` (below 1) of each step's rows is drawn from `mixed` (pretraining text mixed into
    SFT), in addition to `rows_per_step` rows of `rows`; their tokens count like all others. With `packing`,
    several rows are packed into one, so that passes have no padding; where the family does not suit that,
    they stay separate.
    """
    packed = packing and packs(model)

    def learn(chosen: list[int]) -> dict[str, float]:
        batch = [rows[index] for index in chosen]
        if mixed:
            extra = round(len(chosen) * mixed_share / (1 - mixed_share))
            batch += [mixed[index] for index in schedule["random"].integers(len(mixed), size=extra)]
        with naming([row.name for row in batch]):
            return {"loss": accumulate_gradients(model, batch, pad, packing=packed)}

    return Training(
        model, len(rows), learn, rows_per_step=rows_per_step, names=[row.name for row in rows], **schedule
    )
