"""Proximal policy optimisation of a language model against a score, with a per-token KL penalty and pretraining gradients (PPO-ptx).

One step: draw answers to prompts, score them, turn score and KL into advantages, then a few minibatch updates of policy and value
model. Policy, reference and learner use one distribution (log_distribution), at the sampling temperature. The score is any function of
prompt and answer ids (`Score`). The reference is a model of its own or an adapted policy with its adapters off; the value model too, or a
head on the policy's trunk. Left out: several devices.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignloop.core.advantages import explained_variance
from alignloop.core.batches import by_length
from alignloop.core.experience import Experience, Rollouts, Score, appraise, numbers_of
from alignloop.core.generate import sample
from alignloop.core.guards import GuardTripped, Trip, Watch
from alignloop.core.kl_controller import AdaptiveKl, FixedKl
from alignloop.core.lm_training import accumulate
from alignloop.core.logprobs import answer_places, logprobs_of
from alignloop.core.losses import at_step, finite, naming, policy_loss, value_loss
from alignloop.core.memory import precise
from alignloop.core.models import RewardModel, hidden_states, logits_of
from alignloop.core.parallel_passes import backward
from alignloop.core.ppo_config import Settings
from alignloop.core.tokens import Encoded
from alignloop.core.train_state import (
    State,
    copy_all,
    draws_of,
    moments_of,
    put_draws,
    put_moments,
    put_weights,
    weights_of,
)

if TYPE_CHECKING:
    from peft import PeftModel

RATIO_TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}  # mean distance from 1; bf16 keeps eight bits of an activation


class RatioError(RuntimeError):
    """Sampler and learner disagree about log-probabilities before anything was learned: a bug, or an unsupported model family."""


@dataclass(frozen=True)
class Step:
    """Step `number` (from 1) is done: its metrics, its rollouts, and the guards that found them beyond their limits."""

    number: int
    metrics: dict[str, float]
    rollouts: Rollouts
    trips: Sequence[Trip] = ()


class Trainer:
    """Trains what of `policy` is not frozen, and `value` where advantages need one, in place while it is iterated; yields after each step.

    After the last step the policy holds the average of its weights (EMA). A guard that stops ends with the average that earned most before.
    """

    def __init__(
        self,
        policy: PreTrainedModel,
        reference: "PreTrainedModel | PeftModel",
        value: RewardModel | None,
        score: Score,
        prompts: Sequence[list[int]],
        ptx: Sequence[Encoded],
        controller: FixedKl | AdaptiveKl,
        allowed: Tensor,
        end: int,
        pad: int,
        settings: Settings,
        random: np.random.Generator,
        generator: torch.Generator,
        watch: Watch | None = None,
        names: Sequence[str] = (),
    ) -> None:
        if (value is None) == (settings.advantages == "gae"):
            raise ValueError(
                f"advantages by {settings.advantages} {'need' if value is None else 'take no'} value model"
            )
        self.policy, self.reference, self.value, self.score = policy, reference, value, score
        self.prompts, self.ptx, self.controller, self.watch = prompts, ptx, controller, watch
        self.allowed, self.end, self.pad, self.settings = allowed, end, pad, settings
        self.random, self.generator = random, generator
        self.names = names  # what prompts are called in messages
        self.number, self.stopped = 0, False
        self._models: dict[str, nn.Module] = {"policy": policy}
        if value is not None:
            self._models["value"] = (
                value.head if value.trunk is policy.base_model else value
            )  # on the policy's trunk its own is the head
        self._peaks = {"policy": settings.learning_rate, "value": settings.value_learning_rate}
        how: Any = {
            "betas": tuple(settings.adam_betas),
            "eps": settings.adam_epsilon,
            "weight_decay": 0.0,
            "fused": True,
        }
        self._learners = {
            name: torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], **how)
            for name, model in self._models.items()
        }
        self._average = _copy(self._weights())  # of parameters: a state_dict holds tied ones twice
        self._best, self._most = _copy(self._average) if watch and watch.stops else [], float("-inf")
        self._order: list[int] = []
        for model in (reference, *self._models.values()):
            model.eval()  # no dropout anywhere in PPO: eval mode only switches that, gradients flow

    def __iter__(self) -> Iterator[Step]:
        while self.number < self.settings.steps and not self.stopped:
            self.number += 1
            chosen = self._next_prompts()
            names = [self.names[index] for index in chosen] if self.names else ()
            with at_step(
                self.number,
                names,
                [weight for model in self._models.values() for weight in model.parameters()],
            ):
                step = self._step([self.prompts[index] for index in chosen])
            yield step
        copy_all(self._weights(), self._average)

    def state(self) -> State:
        """All that the steps still to come depend on, but for prompts, scores and frozen weights."""
        return {
            "number": self.number,
            "stopped": self.stopped,
            "weights": {name: weights_of(model) for name, model in self._models.items()},
            "moments": {name: moments_of(learner) for name, learner in self._learners.items()},
            "average": self._average,
            "best": self._best,
            "most": None if self._most == float("-inf") else self._most,
            "kl_coef": self.controller.coef,
            "watch": self.watch.state() if self.watch else {},
            "order": self._order,
            "random": draws_of(self.random),
            "generator": self.generator.get_state(),
        }

    def restore(self, state: State) -> None:
        """Go on from where another run with the same prompts, scores and settings was left."""
        self.number, self.stopped, self._order = state["number"], state["stopped"], list(state["order"])
        for name, model in self._models.items():
            put_weights(model, state["weights"][name])
            put_moments(self._learners[name], state["moments"][name])
        copy_all(self._average, state["average"])
        copy_all(self._best, state["best"])
        self._most = float("-inf") if state["most"] is None else state["most"]
        self.controller.coef = state["kl_coef"]
        if self.watch:
            self.watch.restore(state["watch"])
        put_draws(self.random, state["random"])
        self.generator.set_state(state["generator"])

    def _weights(self) -> list[Tensor]:
        return list(weights_of(self.policy).values())

    def _next_prompts(self) -> list[int]:
        """Of a reshuffled deck, each as often as it has responses, side by side."""
        wanted, times = self.settings.prompts_per_step, self.settings.responses_per_prompt
        while len(self._order) < wanted:
            self._order += self.random.permutation(len(self.prompts)).tolist()
        chosen, self._order = self._order[:wanted], self._order[wanted:]
        return [index for index in chosen for _ in range(times)]

    def _step(self, drawn: list[list[int]]) -> Step:
        policy, value, settings, watch, number = (
            self.policy,
            self.value,
            self.settings,
            self.watch,
            self.number,
        )
        # 1. rollouts: answers from the current policy
        how = settings.temperature, settings.max_new_tokens, self.generator, settings.batch
        with precise(settings.precision, policy.device):
            responses = sample(policy, drawn, self.allowed, self.end, *how)
        # 2. scores, KL and advantages
        coef = self.controller.coef
        rollouts, experience = appraise(
            self.reference, value, self.score, drawn, responses, coef, self.allowed, self.pad, settings
        )
        metrics = numbers_of(rollouts, experience, coef)
        if value is not None:
            metrics["explained_variance"] = explained_variance(
                experience.values, experience.returns, experience.mask
            )
        # 3. guards: a stop goes back to the policy that earned most within all limits
        trips = watch.see(number, metrics, rollouts) if watch else []
        earned = metrics.get("held_out_score", metrics["reward"])
        if watch and watch.stops and watch.sound(metrics) and earned > self._most:
            self._best, self._most = _copy(self._average), earned
        if any(trip.strength == "fail" for trip in trips):
            raise GuardTripped("\n".join(trip.message for trip in trips))
        if any(trip.strength == "stop" for trip in trips):
            copy_all(self._average, self._best)
            self.stopped = True
            return Step(number, metrics, rollouts, trips)
        # 4. updates at this step's learning rate: linear warm-up and linear decay
        warming = (
            number <= settings.value_warmup_steps
        )  # the value model alone learns: a policy led by wrong values drifts for nothing
        decay = 1 - (1 - settings.final_learning_rate) * (number - 1) / settings.steps
        rate = min(number / max(settings.warmup_steps, 1), 1.0) * decay
        for name, learner in self._learners.items():
            learner.param_groups[0]["lr"] = self._peaks[name] * rate
        metrics["learning_rate"] = settings.learning_rate * rate
        metrics |= _update(
            policy,
            value,
            self._learners,
            experience,
            self.ptx,
            self.allowed,
            self.pad,
            settings,
            self.random,
            warming,
        )
        with torch.no_grad():
            for mean, weight in zip(self._average, self._weights(), strict=True):
                mean.lerp_(weight, 1 - settings.ema_decay)
        # 5. the controller moves
        self.controller.update(metrics["kl"], len(drawn))
        return Step(number, metrics, rollouts, trips)


def _copy(weights: Iterable[Tensor]) -> list[Tensor]:
    return [weight.detach().clone() for weight in weights]


def _update(
    policy: PreTrainedModel,
    value: RewardModel | None,
    learners: Mapping[str, torch.optim.Optimizer],
    experience: Experience,
    ptx: Sequence[Encoded],
    allowed: Tensor,
    pad: int,
    settings: Settings,
    random: np.random.Generator,
    warming: bool,
) -> dict[str, float]:
    """`epochs` passes over the experience in fresh minibatches; returns the mean of each metric, and the first minibatch's ratio.

    While `warming`, the policy stays as it is and values are not clipped: they start at what the reward model happens to say in mid-answer.
    """
    seen: list[dict[str, float]] = []
    weights: dict[str, list[Tensor]] = {
        name: learner.param_groups[0]["params"] for name, learner in learners.items()
    }
    value_clip, tolerance = (
        float("inf") if warming else settings.value_clip,
        RATIO_TOLERANCE[settings.precision],
    )
    for _ in range(settings.epochs):
        for minibatch in np.array_split(random.permutation(len(experience.rows)), settings.minibatches):
            with precise(settings.precision, policy.device):
                learned = [*chain.from_iterable(weights.values())]
                metrics = _learn(
                    policy, value, learned, experience, minibatch.tolist(), allowed, pad, settings, value_clip
                )
                if (
                    not seen and metrics["ratio_distance"] > tolerance
                ):  # not the mean ratio: its expectation is 1 for any two policies
                    distance = f"{metrics['ratio_distance']:.6f}"
                    raise RatioError(
                        f"ratios of the first minibatch are {distance} from 1: sampler and learner disagree"
                    )
                if settings.ptx_coef and len(ptx):
                    share = settings.ptx_documents_per_step // (settings.minibatches * settings.epochs)
                    documents = [ptx[index] for index in random.integers(0, len(ptx), max(share, 1))]
                    with naming([document.name for document in documents]):
                        metrics["ptx_loss"] = accumulate(policy, documents, pad, settings.ptx_coef)
            for name, learner in learners.items():
                norm = "grad_norm" if name == "policy" else "value_grad_norm"
                metrics[norm] = float(
                    finite(nn.utils.clip_grad_norm_(weights[name], settings.max_grad_norm), norm)
                )
                if name == "value" or not warming:
                    learner.step()
                learner.zero_grad()
            seen.append(metrics)
    means = {name: sum(metrics[name] for metrics in seen) / len(seen) for name in seen[0]}
    return means | {"ratio_first": seen[0]["ratio"]}


def _learn(
    policy: PreTrainedModel,
    value: RewardModel | None,
    weights: Sequence[Tensor],
    experience: Experience,
    minibatch: list[int],
    allowed: Tensor,
    pad: int,
    settings: Settings,
    value_clip: float,
) -> dict[str, float]:
    """Add one minibatch's gradients to the weights', in passes of rows of like length that sum to exactly the gradient of the whole."""
    tokens = int(experience.mask[minibatch].sum())
    shared = value is not None and value.trunk is policy.base_model

    def loss(batch: list[int]) -> tuple[Tensor, dict[str, float]]:
        picked = [minibatch[place] for place in batch]
        rows, starts, mask = (
            [experience.rows[i] for i in picked],
            [experience.starts[i] for i in picked],
            experience.mask[picked],
        )
        ids, real, places, targets = answer_places(rows, starts, pad)
        old, advantages = experience.logprobs[picked][mask], experience.advantages[picked][mask]
        states = hidden_states(policy.base_model, ids, real)[places]
        logprobs, entropy = logprobs_of(logits_of(policy, states), targets, allowed, settings.temperature)
        policy_part, clipped = policy_loss(logprobs, old, advantages, settings.clip)
        mean = finite(policy_part / tokens, "the policy loss", picked)
        with torch.no_grad():
            ratio = torch.exp(logprobs - old)
            sums = {
                "policy_loss": policy_part,
                "ratio": ratio.sum(),
                "ratio_distance": (ratio - 1).abs().sum(),
                "approx_kl": (ratio - 1 - (logprobs - old)).sum(),
                "clip_fraction": clipped.sum(),
                "policy_entropy": entropy.sum(),
            }
        if value is not None:
            values = value.read(states) if shared else value.per_token(ids, real)[places]
            old_values, returns = experience.values[picked][mask], experience.returns[picked][mask]
            value_part, value_clipped = value_loss(values, old_values, returns, value_clip)
            mean = mean + settings.value_coef * finite(value_part / tokens, "the value loss", picked)
            sums |= {"value_loss": value_part, "value_clip_fraction": value_clipped.sum()}
        return mean, {name: float(part.detach()) / tokens for name, part in sums.items()}

    parts = backward(loss, by_length([len(experience.rows[index]) for index in minibatch]), weights)
    return {name: sum(part[name] for part in parts) for name in parts[0]}
