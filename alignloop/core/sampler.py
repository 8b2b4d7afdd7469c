"""Who draws the responses: the policy itself, or a sampler apart from it, an inference server say.

A sampler apart computes the policy's distribution by other kernels, so it draws from a slightly different
one. The policy's own log-probabilities are those that PPO learns from; the difference is corrected by
truncated importance weights, one a token: min(exp(policy − sampler), truncate) (IMPALA, arXiv 1802.01561).
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.generate import Responses, sample
from alignloop.core.tokens import TokenRules

SEEDS = 2**31


class Sampler(Protocol):
    """Draws responses from the model that it follows."""

    def follow(self, model: PreTrainedModel) -> None:
        """Draw from this model's present weights from now on."""
        ...

    def draw(
        self,
        prompts: Sequence[list[int]],
        rules: TokenRules,
        *,
        temperature: float,
        max_new_tokens: int,
        generator: torch.Generator,
        batch: int,
        seeds: Sequence[int] | None = None,
    ) -> Responses:
        """One response per prompt, as `core.generate.sample` draws them.

        All draws come from `generator`, or from `seeds` where there is one for each row.
        `Responses.sampler_logprobs` is set by a sampler apart only.
        """
        ...


class OwnSampler:
    """The policy itself draws, in this process."""

    def __init__(self) -> None:
        self._model: PreTrainedModel | None = None

    def follow(self, model: PreTrainedModel) -> None:
        self._model = model

    def draw(
        self,
        prompts: Sequence[list[int]],
        rules: TokenRules,
        *,
        temperature: float,
        max_new_tokens: int,
        generator: torch.Generator,
        batch: int,
        seeds: Sequence[int] | None = None,
    ) -> Responses:
        assert self._model is not None, "follow() comes first"
        return sample(
            self._model,
            prompts,
            rules,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            generator=generator,
            batch=batch,
            seeds=seeds,
        )


def sampler_gap(policy: Tensor, sampler: Tensor) -> float:
    """The mean of exp|policy − sampler| over the log-probabilities of N tokens, both (N,); 1: they agree."""
    return float(torch.exp((policy - sampler).abs().double()).mean())


def importance_weights(policy: Tensor, sampler: Tensor, truncate: float) -> Tensor:
    """min(exp(policy − sampler), truncate) of log-probabilities of one shape; exactly 1 where both agree."""
    return torch.exp(policy - sampler).clamp(max=truncate)


def sampler_metrics(responses: Responses, truncate: float) -> dict[str, float]:
    """The gap to the sampler and the share of tokens whose weight was truncated; empty if none is apart."""
    if responses.sampler_logprobs is None:
        return {}
    policy, sampler = torch.cat(responses.logprobs), torch.cat(responses.sampler_logprobs)
    return {
        "sampler_gap": sampler_gap(policy, sampler),
        "sampler_truncated_share": float((torch.exp(policy - sampler) > truncate).float().mean()),
    }
