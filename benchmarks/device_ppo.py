"""PPO on random weights, on this process's device: what a device does is compared and timed by its steps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from alignloop import phases
from alignloop.core import devices, parallel_passes, ppo, precision, ranks
from alignloop.core.kl_controller import FixedKl
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score
from alignloop.core.tokens import TokenRules
from benchmarks.plain_ppo import PLAIN

SMALL = LlamaConfig(
    vocab_size=256,
    hidden_size=64,
    intermediate_size=192,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    max_position_embeddings=64,
    tie_word_embeddings=True,
)


def policy_of(config: LlamaConfig) -> LlamaForCausalLM:
    """A policy with random weights, the same ones on every device."""
    torch.manual_seed(1)
    return devices.place(LlamaForCausalLM(config)).eval()


def rules_of(vocabulary: int) -> TokenRules:
    """All tokens may be drawn but 0, which would end a response."""
    rules = TokenRules(torch.ones(vocabulary, dtype=torch.bool), end=0, pad=0)
    rules.allowed[0] = False
    return rules


def trainer(config: LlamaConfig, *, steps: int, responses: int, length: int) -> ppo.Trainer:
    """PPO with as many responses of `length` tokens a step to prompts of as many; all models of one size."""
    policy, judge = policy_of(config), RewardModel.from_policy(policy_of(config), 2).frozen()

    def scores(prompts: Sequence[list[int]], drawn: Sequence[list[int]]) -> Tensor:
        return score(judge, [prompt + row for prompt, row in zip(prompts, drawn, strict=True)], 0)

    random = np.random.default_rng(1)
    return ppo.Trainer(
        policy,
        precision.freeze(policy_of(config)),
        RewardModel.from_policy(policy_of(config), 3),
        score=scores,
        prompts=random.integers(1, config.vocab_size, (responses, length)).tolist(),
        ptx=[],
        controller=FixedKl(0.05),
        rules=rules_of(config.vocab_size),
        config=replace(
            PLAIN,
            steps=steps,
            prompts_per_step=responses,
            ema_decay=0.8,
            max_new_tokens=length,
            batch=responses,
        ),
        random=random,
        generator=torch.Generator().manual_seed(1),
    )


def trained(steps: int = 2) -> list[Tensor]:
    """The weights (on the CPU) of a small policy after some steps; sharded ones whole."""
    run = trainer(SMALL, steps=steps, responses=8, length=12)
    for _ in run:
        pass
    return [weight.detach().cpu() for weight in devices.whole_copy(run.policy).parameters()]


def step_by_phase(config: LlamaConfig, *, responses: int, length: int) -> dict[str, float]:
    """Seconds of a PPO step by what it does, after a step that warms up."""
    for step in trainer(config, steps=2, responses=responses, length=length):
        if step.number == 1:
            phases.clear()
    return dict(phases.seconds())


@contextmanager
def sharded_alone(folder: Path) -> Iterator[None]:
    """Shard models (FSDP2) in this process, the only one of its group."""
    from alignloop.core import sharding  # brings torch.distributed

    alone = ranks.join(0, 1, folder / "meeting", in_turns=True)
    parallel_passes.deal_among(alone)
    devices.use_shards(sharding.Shards(alone, "full", devices.current().type))
    try:
        yield
    finally:
        devices.use_shards(None)
        parallel_passes.deal_among(None)
        ranks.leave()
