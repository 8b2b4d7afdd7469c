"""How one response is sampled, and the draw of one token for each row of a batch.

Tokens come from the distribution that training samples from (`core/generate.py`), with the same lookup of a
uniform number. Temperature 0 takes the most probable token. Top-p keeps the smallest set of tokens whose
probabilities sum to at least p (Holtzman et al., arXiv 1904.09751), which training does without.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from alignloop.core import generate


@dataclass(frozen=True)
class Sampling:
    """How a response is sampled; a seed gives the same draws whatever else runs."""

    temperature: float  # 0: the most probable token
    top_p: float
    max_tokens: int
    seed: int
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None  # tokens to report beside the drawn one; None: no log-probabilities
    reads_prompt: bool = False  # the log-probabilities of the prompt's tokens too, and of the end token


def draw_tokens(
    logits: Tensor, allowed: Tensor, temperature: Tensor, top_p: Tensor, uniform: Tensor
) -> Tensor:
    """One token (B,), on the CPU, per row of logits (B, V); temperature, top-p and uniform numbers are (B,).

    Only tokens that are true in `allowed` (V,) are drawn.
    """
    greedy = temperature == 0
    heat = torch.where(greedy, 1.0, temperature)[:, None].to(logits.device)
    logprobs = generate.log_distribution(logits, allowed, heat)  # pyright: ignore[reportArgumentType]
    best = logprobs.argmax(-1).cpu() if greedy.any() else None
    cut = (top_p < 1) & ~greedy
    if cut.any():
        rows = cut.nonzero().squeeze(1).to(logits.device)
        logprobs[rows] = _nucleus(logprobs[rows], top_p[cut].to(logits.device))
    # private there, because a new name would change the code that stages depend on and run them all again
    tokens = generate._draw(logprobs, uniform)
    return tokens if best is None else torch.where(greedy, best, tokens)


def _nucleus(logprobs: Tensor, top_p: Tensor) -> Tensor:
    """Log-probabilities (B, V), -inf outside the most probable tokens that together reach `top_p` (B,)."""
    ordered, places = logprobs.sort(dim=-1, descending=True, stable=True)
    before = ordered.exp().double().cumsum(-1) - ordered.exp().double()
    ordered = ordered.masked_fill(before >= top_p[:, None], float("-inf"))
    ordered[:, 0] = torch.where(top_p > 0, ordered[:, 0], 0.0)  # top-p 0 keeps the most probable token
    return torch.full_like(logprobs, float("-inf")).scatter(1, places, ordered)
