"""Log-probabilities of answers under a policy, token by token, only where an answer stands."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.batches import by_length
from alignloop.core.generate import log_distribution
from alignloop.core.models import logits_at
from alignloop.core.parallel_passes import in_lanes
from alignloop.core.tokens import pad_right


def answer_places(
    rows: list[list[int]], starts: list[int], pad: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """ids (B, T), mask (B, T), places (B, T) from which an answer token is predicted, and those tokens (N,), row by row."""
    ids, mask = pad_right(rows, pad)
    column = torch.arange(ids.shape[1])
    ends = mask.sum(1, keepdim=True) - 1
    places = (column >= torch.tensor(starts)[:, None] - 1) & (column < ends)
    return ids, mask, places, ids[:, 1:][places[:, :-1]]


def answer_logprobs(
    model: PreTrainedModel,
    ids: Tensor,
    mask: Tensor,
    places: Tensor,
    targets: Tensor,
    allowed: Tensor,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) of the targets, and the entropy (N,) of each distribution, in nats."""
    return logprobs_of(logits_at(model, ids, mask, places), targets, allowed, temperature)


def logprobs_of(
    logits: Tensor, targets: Tensor, allowed: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) of the targets under logits (N, V), and the entropy (N,) of each distribution, in nats."""
    distribution = log_distribution(logits, allowed, temperature)
    entropy = -(distribution.detach().exp() * distribution.detach().masked_fill(~allowed, 0)).sum(-1)
    return distribution.gather(1, targets[:, None]).squeeze(1), entropy


@torch.no_grad()
def response_logprobs(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    responses: Sequence[list[int]],
    allowed: Tensor,
    temperature: float,
    pad: int,
) -> Tensor:
    """Log-probability (N,) in nats of each whole answer, summed over its tokens."""
    model.eval()
    rows = [prompt + answer for prompt, answer in zip(prompts, responses, strict=True)]
    sums, batches = torch.zeros(len(rows)), by_length([len(row) for row in rows])

    def summed(batch: list[int]) -> Tensor:
        ids, mask, places, targets = answer_places(
            [rows[index] for index in batch], [len(prompts[index]) for index in batch], pad
        )
        chosen, _ = answer_logprobs(model, ids, mask, places, targets, allowed, temperature)
        return torch.stack([part.sum() for part in chosen.split([len(responses[index]) for index in batch])])

    for batch, part in zip(batches, in_lanes(summed, batches), strict=True):
        sums[batch] = part
    return sums
