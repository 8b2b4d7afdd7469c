"""A bandit for PPO tests: tiny models, responses of a few letters, and a score for the first letter."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import PreTrainedModel

from alignloop.core.experience import Score
from alignloop.core.guards import GuardMonitor
from alignloop.core.kl_controller import AdaptiveKl, FixedKl
from alignloop.core.ppo import Step, Trainer
from alignloop.core.ppo_config import PpoConfig
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import Encoded, TokenRules
from benchmarks.plain_ppo import PLAIN

if TYPE_CHECKING:
    from peft import PeftModel

CONFIG = replace(
    PLAIN,
    minibatches=2,
    learning_rate=1e-3,
    value_learning_rate=1e-3,
    warmup_steps=1,
    final_learning_rate=0.1,
    missing_eos_score=-1.0,
    max_new_tokens=5,
)


class Run:
    """One run of PPO on copies of the tiny models, from fixed seeds; `policy` and `value` are what it
    trains.
    """

    def __init__(
        self, policy: PreTrainedModel, prompts: list[list[int]], rules: TokenRules, letters: list[int]
    ) -> None:
        self.policy = copy.deepcopy(policy)
        self.reference = cast("PreTrainedModel | PeftModel", copy.deepcopy(policy))
        self.value = RewardModel.from_policy(policy, seed=1)
        self.prompts, self.rules = prompts, rules
        self.letters = letters
        self.controller: FixedKl | AdaptiveKl = FixedKl(0.0)
        self.ptx: Sequence[Encoded] = ()
        self.score: Score = self.first_letter
        self.guards: GuardMonitor | None = None

    def first_letter(self, prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        """1 for a response that begins with the first letter, else 0."""
        return torch.tensor([float(response[0] == self.letters[0]) for response in responses])

    def steps(self, **changes: Any) -> list[Step]:
        random, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
        return list(self.trainer(replace(CONFIG, **changes), random, generator))

    def trainer(self, config: PpoConfig, random: np.random.Generator, generator: torch.Generator) -> Trainer:
        return Trainer(
            self.policy,
            self.reference,
            self.value if config.advantages == "gae" else None,
            score=self.score,
            prompts=self.prompts,
            ptx=self.ptx,
            controller=self.controller,
            rules=self.rules,
            config=config,
            random=random,
            generator=generator,
            guards=self.guards,
        )

    def gradients(self, **changes: Any) -> list[Tensor]:
        """The policy's gradient before each of its optimiser steps, not clipped by default."""
        seen: list[Tensor] = []

        def note(optimiser: torch.optim.Optimizer, args: object, kwargs: object) -> None:
            if optimiser.param_groups[0]["params"][0] is next(self.policy.parameters()):
                gradients = [weight.grad for weight in self.policy.parameters()]
                seen.append(torch.cat([each.flatten() for each in gradients if each is not None]))

        handle = register_optimizer_step_pre_hook(note)
        self.steps(**{"max_grad_norm": 1e9, **changes})
        handle.remove()
        return seen

    def weights(self) -> Tensor:
        return torch.cat([weight.detach().flatten() for weight in self.policy.parameters()])
