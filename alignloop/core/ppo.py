"""Proximal policy optimisation (PPO-ptx): a score, a per-token KL penalty and pretraining gradients.

In one step, draw responses to prompts, score them, turn score and KL into advantages, then update policy
and value model in a few minibatches. Policy and reference use one distribution, `log_distribution` at the
sampling temperature. The score is any function of prompt and response ids (`RolloutScore`). The reference
is a model of its own, or an adapted policy with its adapters off; the value model is one of its own, or a
head on the policy's trunk. The responses are drawn by the policy itself, or by a `Sampler` apart from it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignloop.core import devices
from alignloop.core.advantages import explained_variance
from alignloop.core.experience import Rollouts, compute_experience, rollout_metrics
from alignloop.core.guards import GuardMonitor, GuardTripped, GuardViolation
from alignloop.core.kl_controller import AdaptiveKl, FixedKl
from alignloop.core.numeric_checks import at_step
from alignloop.core.ppo_config import PpoConfig
from alignloop.core.ppo_update import update
from alignloop.core.reward_model import RewardModel
from alignloop.core.sampler import OwnSampler, Sampler, sampler_metrics
from alignloop.core.tokens import Encoded, TokenRules
from alignloop.core.train_state import (
    State,
    copy_all,
    moments_of,
    put_moments,
    put_random_state,
    put_weights,
    random_state_of,
    weights_of,
)
from alignloop.core.weighted_score import RolloutScore
from alignloop.phases import phase

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True)
class Step:
    """The result of step `number` (from 1)."""

    number: int
    metrics: dict[str, float]
    rollouts: Rollouts
    violations: Sequence[GuardViolation] = ()


class Trainer:
    """Trains the policy and the value model, in place, while it is iterated; yields a Step after each step.

    Frozen weights stay as they are; there is a value model only where advantages need one. After the last
    step the policy has the exponential moving average (EMA) of its weights. A guard that stops the training
    restores the average that had the highest reward within all limits. `names` are what messages call the
    prompts.
    """

    def __init__(
        self,
        policy: PreTrainedModel,
        reference: "PreTrainedModel | PeftModel",
        value: RewardModel | None,
        *,
        score: RolloutScore,
        prompts: Sequence[list[int]],
        ptx: Sequence[Encoded],
        controller: FixedKl | AdaptiveKl,
        rules: TokenRules,
        config: PpoConfig,
        random: np.random.Generator,
        generator: torch.Generator,
        guards: GuardMonitor | None = None,
        names: Sequence[str] = (),
        sampler: Sampler | None = None,
    ) -> None:
        if (value is None) == (config.advantages == "gae"):
            verb = "need" if value is None else "take no"
            raise ValueError(f"advantages by {config.advantages} {verb} value model")
        shares_trunk = value is not None and value.trunk is policy.base_model
        for model in (policy, reference):
            if isinstance(model, PreTrainedModel):  # an adapted policy is sharded already
                devices.shard(model)
        if value is not None and not shares_trunk:
            devices.shard(value)
        self.policy, self.reference = policy, reference
        self.value, self.score = value, score
        self.prompts, self.ptx = prompts, ptx
        self.controller = controller
        self.rules, self.config = rules, config
        self.random, self.generator = random, generator
        self.guards, self.names = guards, names
        self.sampler = sampler or OwnSampler()
        self.number, self.stopped = 0, False
        self._models: dict[str, nn.Module] = {"policy": policy}
        if value is not None:  # of a value model on the policy's trunk only the head is its own
            self._models["value"] = value.head if shares_trunk else value
        self._peaks = {"policy": config.learning_rate, "value": config.value_learning_rate}
        adamw: Any = {
            "betas": tuple(config.adam_betas),
            "eps": config.adam_epsilon,
            "weight_decay": 0.0,
            "fused": True,
        }
        self._optimisers = {
            name: torch.optim.AdamW(
                [weight for weight in model.parameters() if weight.requires_grad], **adamw
            )
            for name, model in self._models.items()
        }
        self._average = _copy(self._weights())  # of parameters: a state_dict has tied ones twice
        self._best = _copy(self._average) if guards and guards.can_stop else []
        self._best_reward = float("-inf")
        self._order: list[int] = []
        for model in (reference, *self._models.values()):
            model.eval()  # switches dropout off, but not gradients

    def __iter__(self) -> Iterator[Step]:
        while self.number < self.config.steps and not self.stopped:
            self.number += 1
            chosen = self._next_prompts()
            names = [self.names[index] for index in chosen] if self.names else ()
            weights = [weight for model in self._models.values() for weight in model.parameters()]
            with at_step(self.number, names, weights), phase("step", of=self.number):
                step = self._step([self.prompts[index] for index in chosen])
            yield step
        copy_all(self._weights(), self._average)

    def state(self) -> State:
        """Everything that the remaining steps depend on, except for prompts, scores and frozen weights."""
        return {
            "number": self.number,
            "stopped": self.stopped,
            "weights": {name: weights_of(model) for name, model in self._models.items()},
            "moments": {name: moments_of(optimiser) for name, optimiser in self._optimisers.items()},
            "average": self._average,
            "best": self._best,
            "most": None if self._best_reward == float("-inf") else self._best_reward,
            "kl_coef": self.controller.coef,
            "watch": self.guards.state() if self.guards else {},
            "order": self._order,
            "random": random_state_of(self.random),
            "generator": self.generator.get_state(),
        }

    def restore(self, state: State) -> None:
        """Resume from the state of another trainer with the same prompts, score and configuration."""
        self.number, self.stopped = state["number"], state["stopped"]
        self._order = list(state["order"])
        for name, model in self._models.items():
            put_weights(model, state["weights"][name])
            put_moments(self._optimisers[name], state["moments"][name])
        copy_all(self._average, state["average"])
        copy_all(self._best, state["best"])
        self._best_reward = float("-inf") if state["most"] is None else state["most"]
        self.controller.coef = state["kl_coef"]
        if self.guards:
            self.guards.restore(state["watch"])
        put_random_state(self.random, state["random"])
        self.generator.set_state(state["generator"])

    def _weights(self) -> list[Tensor]:
        return list(weights_of(self.policy).values())

    def _next_prompts(self) -> list[int]:
        """The next prompts of a shuffled epoch, each repeated for its responses."""
        count, times = self.config.prompts_per_step, self.config.responses_per_prompt
        while len(self._order) < count:
            self._order += self.random.permutation(len(self.prompts)).tolist()
        chosen, self._order = self._order[:count], self._order[count:]
        return [index for index in chosen for _ in range(times)]

    def _step(self, prompts: list[list[int]]) -> Step:
        config, guards = self.config, self.guards
        number = self.number
        # 1. rollouts: responses of the current policy
        self.sampler.follow(self.policy)
        responses = self.sampler.draw(
            prompts,
            self.rules,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            generator=self.generator,
            batch=config.batch,
        )
        # 2. scores, KL and advantages
        coef = self.controller.coef
        rollouts, experience = compute_experience(
            self.reference,
            self.value,
            self.score,
            prompts,
            responses,
            kl_coef=coef,
            rules=self.rules,
            config=config,
        )
        metrics = rollout_metrics(rollouts, experience, coef)
        metrics |= {**sampler_metrics(responses, config.sampler_truncate), **responses.counts}
        if self.value is not None:
            metrics["explained_variance"] = explained_variance(
                experience.values, experience.returns, experience.mask
            )
        # 3. guards: a stop restores the policy with the highest reward within all limits
        violations = guards.check(number, metrics, rollouts) if guards else []
        reward = metrics.get("held_out_score", metrics["reward"])
        if guards and guards.can_stop and guards.within_limits(metrics) and reward > self._best_reward:
            self._best, self._best_reward = _copy(self._average), reward
        if any(violation.strength == "fail" for violation in violations):
            raise GuardTripped("\n".join(violation.message for violation in violations))
        if any(violation.strength == "stop" for violation in violations):
            copy_all(self._average, self._best)
            self.stopped = True
            return Step(number, metrics, rollouts, violations)
        # 4. updates at this step's learning rate: linear warm-up and linear decay
        decay = 1 - (1 - config.final_learning_rate) * (number - 1) / config.steps
        rate = min(number / max(config.warmup_steps, 1), 1.0) * decay
        for name, optimiser in self._optimisers.items():
            optimiser.param_groups[0]["lr"] = self._peaks[name] * rate
        metrics["learning_rate"] = config.learning_rate * rate
        metrics |= update(
            self.policy,
            self.value,
            experience,
            optimisers=self._optimisers,
            ptx=self.ptx,
            rules=self.rules,
            config=config,
            random=self.random,
            warming=number
            <= config.value_warmup_steps,  # the value model alone: wrong values mislead the policy
        )
        with torch.no_grad(), phase("moving average"):
            for mean, weight in zip(self._average, self._weights(), strict=True):
                mean.lerp_(weight, 1 - config.ema_decay)
        # 5. the KL coefficient
        self.controller.update(metrics["kl"], len(prompts))
        return Step(number, metrics, rollouts, violations)


def _copy(weights: Iterable[Tensor]) -> list[Tensor]:
    return [weight.detach().clone() for weight in weights]
