"""Rewards, advantages and returns: GAE, RLOO and GRPO.

Shapes: B responses of at most R tokens; `mask` (B, R) is true on real tokens, false on padding.
"""

import torch
from torch import Tensor


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """Rewards (B, R): −β·KL per token, and the score (B,) at the last one (arXiv 1909.08593, eq. 2)."""
    rewards = -kl_coef * kl * mask
    last = mask.long().sum(1) - 1
    rewards[torch.arange(len(rewards)), last] += scores
    return rewards


def gae(values: Tensor, rewards: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns (B, R) by generalised advantage estimation (arXiv 1506.02438, eq. 16).

    The value after the last token is 0.
    """
    values, rewards = values * mask, rewards * mask  # everything computed from them is zero on padding
    advantages = torch.zeros_like(rewards)
    ahead = torch.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        following = values[:, t + 1] if t + 1 < rewards.shape[1] else torch.zeros(len(rewards))
        delta = rewards[:, t] + gamma * following - values[:, t]
        ahead = delta + gamma * lam * ahead
        advantages[:, t] = ahead
    return advantages, advantages + values


def rloo(rewards: Tensor, responses_per_prompt: int) -> Tensor:
    """Advantages (B,) by REINFORCE leave-one-out (arXiv 2402.14740).

    They are a response's reward − the mean reward of the other responses to its prompt.

    The responses to one prompt are adjacent, `responses_per_prompt` of them, at least two.
    """
    groups = rewards.view(-1, responses_per_prompt)
    others = (groups.sum(1, keepdim=True) - groups) / (responses_per_prompt - 1)
    return (groups - others).flatten()


def grpo(rewards: Tensor, responses_per_prompt: int) -> Tensor:
    """Advantages (B,) of GRPO (arXiv 2402.03300, §4.1.2): rewards standardised within each prompt.

    The responses to one prompt are adjacent; where all have the same reward, every advantage is 0.
    """
    groups = rewards.view(-1, responses_per_prompt)
    centred = groups - groups.mean(1, keepdim=True)
    return (centred * torch.rsqrt(groups.var(1, correction=0, keepdim=True) + 1e-8)).flatten()


def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """`x` (B, R) scaled to unit variance over the mask, and zero outside it.

    Its mean is removed if `shift_mean` is true, else kept.
    """
    chosen = x[mask]
    mean, scale = chosen.mean(), torch.rsqrt(chosen.var(correction=0) + 1e-8)
    whitened = (x - mean) * scale
    return (whitened if shift_mean else whitened + mean) * mask


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 − Var(returns − values) / Var(returns) over the mask.

    1 is a perfect value model, 0 one that predicts only the mean; 0 as well where all returns are equal.
    """
    spread = returns[mask].var(correction=0)
    return float(1 - (returns - values)[mask].var(correction=0) / spread) if spread > 0 else 0.0
