"""Sampling of responses from a policy: batched, with a KV cache, at a given temperature.

A token is drawn by looking up one uniform number in the cumulative distribution, because Gumbel noise over
the vocabulary took half of the decoding time. Each row has its own random numbers, so its response does not
depend on its neighbours or on `batch`, except for rounding. Equal prompts are computed once. Left out:
top-k, top-p and beams (PPO needs the whole distribution).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from alignloop.core import devices
from alignloop.core.batches import even_groups
from alignloop.core.decoding_cache import roomy_cache
from alignloop.core.numeric_checks import finite
from alignloop.core.parallel_passes import in_parallel
from alignloop.core.token_distribution import log_distribution, rows_at_a_time
from alignloop.core.tokens import TokenRules, pad_left
from alignloop.phases import Phase, phase

BLOCK = 256  # tokens of the vocabulary


@dataclass(frozen=True)
class Responses:
    """Responses in the order of their prompts.

    With tools a response is several turns: `own` says which of its tokens the policy drew, and
    log-probabilities are of these alone (`core/tool_rollouts.py`).
    """

    ids: list[list[int]]  # with the end token where it was drawn
    logprobs: list[Tensor]  # of these tokens, under the policy
    ended: list[bool]  # whether the end token was drawn
    sampler_logprobs: list[Tensor] | None = (
        None  # as the sampler reported them, if it is not the policy itself
    )
    own: list[list[bool]] | None = None  # a value per token; None: the policy drew all
    counts: Mapping[str, float] = field(default_factory=dict)  # of calls of tools, for the step's metrics


@torch.no_grad()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    rules: TokenRules,
    *,
    temperature: float,
    max_new_tokens: int,
    generator: torch.Generator,
    batch: int,
    seeds: Sequence[int] | None = None,
) -> Responses:
    """Draw one response per prompt: at most `max_new_tokens` tokens, up to and including the end token.

    Prompts of similar length are decoded together, at most `batch` at a time. With `seeds`, one a prompt, a
    row draws from its own seed, and nothing from `generator`.
    """
    model.eval()
    end = rules.end
    ids: list[list[int]] = [[] for _ in prompts]
    logprobs: list[Tensor] = [torch.empty(0) for _ in prompts]
    if seeds is None:
        uniform = torch.rand(len(prompts), max_new_tokens, generator=generator, dtype=torch.float64)
    else:
        uniform = torch.stack([_uniform(seed, max_new_tokens) for seed in seeds])
    groups = even_groups([len(prompt) for prompt in prompts], batch)
    with phase("decoding", len(groups) * max_new_tokens) as decoding, devices.whole(model):
        decoded = in_parallel(
            lambda rows: _decode(
                model,
                [prompts[row] for row in rows],
                rules,
                temperature=temperature,
                uniform=uniform[rows],
                decoding=decoding,
            ),
            groups,
        )
        for rows, (drawn, chosen) in zip(groups, decoded, strict=True):
            for place, row in enumerate(rows):
                tokens = drawn[place].tolist()
                length = tokens.index(end) + 1 if end in tokens else len(tokens)
                ids[row], logprobs[row] = tokens[:length], chosen[place, :length].clone()
    return Responses(ids, logprobs, [row[-1] == end for row in ids])


def _uniform(seed: int, count: int) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _decode(
    model: PreTrainedModel,
    prompts: list[list[int]],
    rules: TokenRules,
    *,
    temperature: float,
    uniform: Tensor,
    decoding: Phase,
) -> tuple[Tensor, Tensor]:
    """Tokens (B, R) drawn with `uniform` (B, R) and their log-probabilities (B, R).

    Every token after a row's end token is the end token again. `decoding` has R parts for these rows.
    """
    end, device = rules.end, devices.of(model)
    distinct = list(dict.fromkeys(map(tuple, prompts)))
    ids, mask = pad_left(distinct, end)
    positions = (mask.cumsum(1) - 1).clamp(min=0).to(device)
    ids, mask = ids.to(device), mask.to(device)
    allowed = rules.allowed.to(device)
    kept = torch.arange(len(prompts))  # the rows that the cache holds
    active = torch.ones(len(prompts), dtype=torch.bool)  # which of them have not ended
    drawn = torch.full(uniform.shape, end)
    chosen = torch.zeros(uniform.shape)
    cache = roomy_cache(model.config, ids.shape[1] + uniform.shape[1])
    limit = uniform.shape[1]
    for step in range(limit):
        output = model(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = output.logits[:, -1]
        if step == 0 and len(distinct) < len(prompts):  # the responses of one prompt share its prefill
            place = {prompt: row for row, prompt in enumerate(distinct)}
            rows = torch.tensor([place[tuple(prompt)] for prompt in prompts]).to(device)
            cache.batch_select_indices(rows)
            logits, mask, positions = (part[rows] for part in (logits, mask, positions))
        tokens, logprobs = _next_tokens(logits, allowed, temperature, uniform[kept, step])
        tokens = torch.where(active, tokens, end)
        drawn[kept, step], chosen[kept, step] = tokens, logprobs
        active = tokens != end
        if not active.any():
            decoding.advance(limit - step)
            break
        decoding.advance()
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions[:, -1:] + 1
        if active.float().mean() < 0.75:  # dropping rows copies the cache: worth it once a quarter has ended
            cache.batch_select_indices(active.nonzero().squeeze(1).to(device))
            kept, tokens, mask, positions, active = (
                part[active] for part in (kept, tokens, mask, positions, active)
            )
        ids = tokens[:, None].to(device)
    return drawn, chosen


def _next_tokens(
    logits: Tensor, allowed: Tensor, temperature: float, uniform: Tensor
) -> tuple[Tensor, Tensor]:
    """A token (B,) for each row of logits (B, V) and uniform number (B,), and its log-probability (B,)."""
    tokens, chosen = [], []
    for rows in rows_at_a_time(logits):
        logprobs = log_distribution(logits[rows], allowed, temperature)
        drawn = _draw(logprobs, uniform[rows])
        tokens.append(drawn)
        chosen.append(logprobs.gather(1, drawn[:, None].to(logprobs.device)).squeeze(1).cpu())
    return torch.cat(tokens), torch.cat(chosen)


def _draw(logprobs: Tensor, uniform: Tensor) -> Tensor:
    """One token (B,), on the CPU, per row of log-probabilities (B, V) and uniform number (B,) in [0, 1).

    A token that is not allowed has probability 0 and is never drawn.
    """
    if logprobs.device.type not in ("cpu", "mps"):  # a GPU's cumsum is not deterministic; mps has no doubles
        return _draw_by_blocks(logprobs, uniform.to(logprobs.device)).cpu()
    cumulative = logprobs.cpu().exp().double().cumsum(-1)
    total = cumulative[:, -1:]
    finite(total.sum(), "the policy's distribution over the next token")
    return torch.searchsorted(cumulative, _below(total, uniform), right=True).squeeze(1)


def _below(total: Tensor, uniform: Tensor) -> Tensor:
    """Points (B, 1) in [0, total) at uniform numbers (B,), even where a product rounds up to the total."""
    return torch.minimum(uniform[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))


def _draw_by_blocks(logprobs: Tensor, uniform: Tensor) -> Tensor:
    """What `_draw` draws, by matrix products alone: sums within blocks of tokens, and over the blocks."""
    probabilities = logprobs.exp().double()
    finite(probabilities.sum(), "the policy's distribution over the next token")
    blocks = functional.pad(probabilities, (0, -probabilities.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    upto = torch.ones(BLOCK, BLOCK, dtype=torch.float64, device=logprobs.device).triu()
    before = torch.ones(2 * blocks.shape[1:2], dtype=torch.float64, device=logprobs.device).triu(1)
    cumulative = (blocks @ upto + (blocks.sum(-1) @ before)[:, :, None]).flatten(1)[:, : logprobs.shape[1]]
    cumulative = cumulative.masked_fill(probabilities == 0, 0.0)  # rounding must not make them likely
    reached = cumulative > _below(cumulative.amax(-1, keepdim=True), uniform)
    return reached.long().argmax(-1)
