"""Drawing answers from a policy: batched, with a KV cache, at a stated temperature. Left out: top-k, top-p, beams (PPO needs the whole distribution).

A row's draw uses one uniform number a token and an inverse-CDF look-up: Gumbel noise over the vocabulary cost half of the decoding time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from alignloop.core.batches import by_length
from alignloop.core.tokens import pad_left


@dataclass(frozen=True)
class Responses:
    """Answers in the order of their prompts: token ids with the end token if it was drawn, log-probability of each, and whether it ended."""

    ids: list[list[int]]
    logprobs: list[Tensor]
    ended: list[bool]


def log_distribution(logits: Tensor, allowed: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (…, V) at the sampling temperature over the tokens that an answer may hold: the one distribution of sampler and learner."""
    return torch.log_softmax((logits / temperature).masked_fill(~allowed, float("-inf")), dim=-1)


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
    order = [index for group in by_length([len(prompt) for prompt in prompts]) for index in group]
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        drawn, chosen = _decode(model, [prompts[row] for row in rows], allowed, end, temperature, max_new_tokens, generator)
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
    max_new_tokens: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Tokens (B, R) and their log-probabilities (B, R); what stands after a row's end token is `end` and has no meaning."""
    ids, mask = pad_left(prompts, end)
    alive = torch.arange(len(prompts))  # the rows still decoding: the cache holds only these
    drawn = torch.full((len(prompts), max_new_tokens), end)
    chosen = torch.zeros(len(prompts), max_new_tokens)
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    for step in range(max_new_tokens):
        output = model(
            input_ids=ids, attention_mask=mask.long(), position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        logprobs = log_distribution(output.logits[:, -1], allowed, temperature)
        tokens = _draw(logprobs, generator)
        drawn[alive, step] = tokens
        chosen[alive, step] = logprobs.gather(1, tokens[:, None]).squeeze(1)
        going = tokens != end
        if not going.any():
            break
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions[:, -1:] + 1
        if going.float().mean() < 0.75:  # re-packing copies the cache: worth it when a quarter has ended
            cache.batch_select_indices(going.nonzero().squeeze(1))
            alive, tokens, mask, positions = alive[going], tokens[going], mask[going], positions[going]
        ids = tokens[:, None]
    return drawn, chosen


def _draw(logprobs: Tensor, generator: torch.Generator) -> Tensor:
    """One token (B,) per row of log-probabilities (B, V) by inverse CDF; a forbidden token has no width and is never met."""
    cumulative = logprobs.exp().double().cumsum(-1)
    uniform = torch.rand(len(logprobs), 1, generator=generator, dtype=torch.float64) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, uniform, right=True).squeeze(1).clamp(max=logprobs.shape[1] - 1)
