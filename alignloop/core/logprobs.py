"""Log-probabilities of responses under a policy, computed at response tokens only."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.batches import by_length
from alignloop.core.models import hidden_states
from alignloop.core.parallel_passes import in_parallel
from alignloop.core.token_distribution import chosen_logprobs, token_logprobs
from alignloop.core.tokens import TokenRules, pad_right
from alignloop.core.vocabulary_head import read_logits
from alignloop.phases import counted


def response_positions(
    rows: list[list[int]], starts: list[int], pad: int, own: Sequence[list[bool]] | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A padded batch of prompts with their responses, which begin at `starts`, and where its targets are.

    Returns ids (B, T), mask (B, T), the positions (B, T) whose next token is a response token, and these N
    tokens (N,), row by row. `own` has a value per response token: a token that is not the policy's own is no
    target.
    """
    ids, mask = pad_right(rows, pad)
    column = torch.arange(ids.shape[1])
    ends = mask.sum(1, keepdim=True) - 1
    positions = (column >= torch.tensor(starts)[:, None] - 1) & (column < ends)
    if own is not None:
        positions[positions.clone()] = torch.tensor([each for row in own for each in row])
    return ids, mask, positions, ids[:, 1:][positions[:, :-1]]


def policy_logprobs(
    model: PreTrainedModel, states: Tensor, targets: Tensor, allowed: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) of targets (N,) after last hidden states (N, H), and entropies (N,), in nats."""
    parts = read_logits(
        model, states, targets, lambda logits, chosen: token_logprobs(logits, chosen, allowed, temperature)
    )
    logprobs, entropies = zip(*parts, strict=True)
    return torch.cat(logprobs).cpu(), torch.cat(entropies).cpu()


@torch.no_grad()
def frozen_logprobs(
    model: PreTrainedModel, states: Tensor, targets: Tensor, allowed: Tensor, temperature: float
) -> Tensor:
    """Log-probabilities (N,) of targets (N,) after last hidden states (N, H), without gradients."""
    parts = read_logits(
        model, states, targets, lambda logits, chosen: chosen_logprobs(logits, chosen, allowed, temperature)
    )
    return torch.cat(parts).cpu()


@torch.no_grad()
def per_token_logprobs(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    responses: Sequence[list[int]],
    rules: TokenRules,
    temperature: float,
    own: Sequence[list[bool]] | None = None,
) -> list[Tensor]:
    """Log-probabilities (R,) in nats of each response's tokens, or of those that `own` marks."""
    model.eval()
    rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    logprobs, batches = [torch.empty(0)] * len(rows), by_length([len(row) for row in rows])

    def of_batch(batch: list[int]) -> Sequence[Tensor]:
        mine = None if own is None else [own[index] for index in batch]
        ids, mask, positions, targets = response_positions(
            [rows[index] for index in batch], [len(prompts[index]) for index in batch], rules.pad, mine
        )
        states = hidden_states(model.base_model, ids, mask)[positions]
        chosen = frozen_logprobs(model, states, targets, rules.allowed, temperature)
        return chosen.split([sum(own[index]) if own else len(responses[index]) for index in batch])

    found = counted("log-probabilities", in_parallel(of_batch, batches), len(batches))
    for batch, parts in zip(batches, found, strict=True):
        for index, part in zip(batch, parts, strict=True):
            logprobs[index] = part
    return logprobs


def response_logprobs(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    responses: Sequence[list[int]],
    rules: TokenRules,
    temperature: float,
    own: Sequence[list[bool]] | None = None,
) -> Tensor:
    """Log-probability (N,) in nats of each response, summed over its tokens, or those that `own` marks."""
    per_token = per_token_logprobs(model, prompts, responses, rules, temperature, own=own)
    return torch.tensor([float(part.sum()) for part in per_token])
