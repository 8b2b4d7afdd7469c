"""Drawing answers from a policy: batched, with a KV cache, at a stated temperature.

A draw is an inverse-CDF look-up of one uniform number per token: Gumbel noise over the vocabulary cost half of the decoding time. The
numbers belong to the rows, so a row's answer does not depend on its neighbours, nor on `batch`, but for rounding. Left out: top-k, top-p
and beams (PPO needs the whole distribution).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from alignloop.core.batches import in_pairs
from alignloop.core.losses import finite
from alignloop.core.parallel_passes import in_lanes
from alignloop.core.tokens import pad_left


@dataclass(frozen=True)
class Responses:
    """Answers in the order of their prompts: token ids (with the end token if it was drawn), their log-probabilities, whether it ended."""

    ids: list[list[int]]
    logprobs: list[Tensor]
    ended: list[bool]


def log_distribution(logits: Tensor, allowed: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (…, V) at the sampling temperature over what an answer may hold: the one distribution of sampler and learner."""
    return torch.log_softmax((logits.float() / temperature).masked_fill(~allowed, float("-inf")), dim=-1)


@torch.no_grad()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    allowed: Tensor,
    end: int,
    temperature: float,
    max_new_tokens: int,
    generator: torch.Generator,
    batch: int,
) -> Responses:
    """Draw one answer per prompt: at most `max_new_tokens` tokens, up to and with `end`. Prompts of like length decode together."""
    model.eval()
    ids: list[list[int]] = [[] for _ in prompts]
    logprobs: list[Tensor] = [torch.empty(0) for _ in prompts]
    uniform = torch.rand(len(prompts), max_new_tokens, generator=generator, dtype=torch.float64)
    groups = in_pairs([len(prompt) for prompt in prompts], batch)
    decoded = in_lanes(
        lambda rows: _decode(model, [prompts[row] for row in rows], allowed, end, temperature, uniform[rows]),
        groups,
    )
    for rows, (drawn, chosen) in zip(groups, decoded, strict=True):
        for place, row in enumerate(rows):
            tokens = drawn[place].tolist()
            length = tokens.index(end) + 1 if end in tokens else len(tokens)
            ids[row], logprobs[row] = tokens[:length], chosen[place, :length].clone()
    return Responses(ids, logprobs, [row[-1] == end for row in ids])


def _decode(
    model: PreTrainedModel,
    prompts: list[list[int]],
    allowed: Tensor,
    end: int,
    temperature: float,
    uniform: Tensor,
) -> tuple[Tensor, Tensor]:
    """Tokens (B, R) drawn with `uniform` (B, R) and their log-probabilities (B, R); after a row's end token all are `end`."""
    ids, mask = pad_left(prompts, end)
    kept = torch.arange(len(prompts))  # the rows that the cache holds
    going = torch.ones(len(prompts), dtype=torch.bool)  # which of them have not ended
    drawn = torch.full(uniform.shape, end)
    chosen = torch.zeros(uniform.shape)
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    for step in range(uniform.shape[1]):
        output = model(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logprobs = log_distribution(output.logits[:, -1], allowed, temperature)
        tokens = torch.where(going, _draw(logprobs, uniform[kept, step]), end)
        drawn[kept, step] = tokens
        chosen[kept, step] = logprobs.gather(1, tokens[:, None]).squeeze(1)
        going = tokens != end
        if not going.any():
            break
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions[:, -1:] + 1
        if going.float().mean() < 0.75:  # re-packing copies the cache: worth it when a quarter has ended
            cache.batch_select_indices(going.nonzero().squeeze(1))
            kept, tokens, mask, positions, going = (
                part[going] for part in (kept, tokens, mask, positions, going)
            )
        ids = tokens[:, None]
    return drawn, chosen


def _draw(logprobs: Tensor, uniform: Tensor) -> Tensor:
    """One token (B,) per row of log-probabilities (B, V) and number (B,) in [0, 1); a forbidden token has no width and is never met."""
    cumulative = logprobs.exp().double().cumsum(-1)
    total = cumulative[:, -1:]
    finite(total.sum(), "the policy's distribution over the next token")
    return torch.searchsorted(cumulative, uniform[:, None] * total, right=True).squeeze(1)
