"""Guards of a policy's training: limits on KL, entropy, diversity, ended responses and over-optimisation.

A guard compares the mean of its metric over the last steps with its limit. Beyond the limit, a guard of
strength `warn` prints a message, `stop` ends the training with the best policy within all limits, and
`fail` ends it with an error and without a policy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from alignloop.core.experience import Rollouts, Score
from alignloop.core.train_state import State
from alignloop.errors import AlignloopError

Strength = Literal["warn", "stop", "fail"]

# a guard's key in params.yaml -> its metric, and the cause and remedy; the key's prefix, max or min, is the
# side
RULES = {
    "max_kl_per_response_nats": (
        "kl",
        "the policy is far from its reference; raise ppo.kl.coef, or lower ppo.learning_rate",
    ),
    "min_kl_per_response_nats": (
        "kl",
        "responses are likelier under the reference than under the policy that drew them, which in "
        "expectation cannot be: a step draws too few (raise ppo.prompts_per_step), or the two models "
        "differ in temperature or allowed tokens",
    ),
    "min_entropy_per_token_nats": (
        "entropy",
        "the policy is nearly certain of every token; raise ppo.kl.coef, or lower ppo.learning_rate",
    ),
    "min_distinct_2": (
        "distinct_2",
        "responses repeat each other and themselves; raise ppo.kl.coef or ppo.ptx_coef",
    ),
    "min_ended": (
        "ended",
        "responses no longer end; lower ppo.missing_eos_score, or raise decoding.max_new_tokens",
    ),
    "max_held_out_fall": (
        "held_out_fall",
        "the score rises while the score of a reward model from held-out labelers falls; raise "
        "ppo.kl.coef, or lower ppo.steps",
    ),
}


# the same of a training on rankings (core/dpo.py), which is looked at by its validations
DPO_CAUSES = {
    "max_kl_per_response_nats": "the policy is far from its reference; raise dpo.beta_score_per_nat, or "
    "lower dpo.learning_rate or dpo.epochs",
    "min_kl_per_response_nats": "responses are likelier under the reference than under the policy that drew "
    "them, which in expectation cannot be: raise dpo.validation_prompts",
    "min_entropy_per_token_nats": "the policy is nearly certain of every token; raise "
    "dpo.beta_score_per_nat, or lower dpo.learning_rate",
    "min_distinct_2": "responses repeat each other and themselves; raise dpo.beta_score_per_nat or "
    "dpo.ptx_coef",
    "min_ended": "responses no longer end; set dpo.length_normalised to true, or raise "
    "decoding.max_new_tokens",
    "max_held_out_fall": "the score rises while the score of a reward model from held-out labelers falls; "
    "raise dpo.beta_score_per_nat, or lower dpo.epochs",
}


class GuardTripped(AlignloopError):
    """A guard of strength `fail` was beyond its limit; the message has guard, step, cause and remedy."""


@dataclass(frozen=True)
class Wording:
    """How messages of guards speak: the section of params.yaml, what a window counts, and the causes."""

    section: str
    unit: str
    causes: Mapping[str, str]


PPO = Wording("ppo", "steps", {name: cause for name, (_, cause) in RULES.items()})
DPO = Wording("dpo", "validations", DPO_CAUSES)


@dataclass(frozen=True)
class Guard:
    """A limit, and what happens beyond it."""

    limit: float
    strength: Strength


@dataclass(frozen=True)
class GuardViolation:
    """A guard whose metric is beyond its limit."""

    guard: str
    strength: Strength
    message: str


class GuardMonitor:
    """The guards of one run, by their keys in RULES, and the metrics so far.

    `held_out` is a score that the policy is not trained on.
    """

    def __init__(
        self,
        guards: Mapping[str, Guard],
        window_steps: int,
        held_out: Score | None = None,
        wording: Wording = PPO,
    ) -> None:
        self.guards, self.window_steps = dict(guards), window_steps
        self._wording = wording
        self.held_out = held_out
        self.first_violations: dict[str, int] = {}  # guard -> the first step at which it was beyond its limit
        self._seen: list[Mapping[str, float]] = []

    @property
    def can_stop(self) -> bool:
        """Whether a guard may end the training with a policy."""
        return any(guard.strength == "stop" for guard in self.guards.values())

    def check(self, step: int, metrics: dict[str, float], rollouts: Rollouts) -> list[GuardViolation]:
        """Record a step's metrics and return every guard that is beyond its limit now.

        Adds the held-out score, and how far it has fallen, to `metrics`.
        """
        if self.held_out is not None:
            metrics["held_out_score"] = float(
                self.held_out(rollouts.prompts, rollouts.responses).float().mean()
            )
            proxy, held_out = (
                [numbers[name] for numbers in (*self._seen, metrics)] for name in ("score", "held_out_score")
            )
            metrics["held_out_fall"] = held_out_fall(proxy, held_out, self.window_steps)
        watched = {"score", "held_out_score", *(RULES[name][0] for name in self.guards)}
        self._seen.append({name: number for name, number in metrics.items() if name in watched})
        last = self._seen[-self.window_steps :]
        if len(last) < self.window_steps:
            return []
        means = {
            RULES[name][0]: sum(numbers[RULES[name][0]] for numbers in last) / len(last)
            for name in self.guards
        }
        beyond = [name for name in self.guards if self._beyond(name, means)]
        self.first_violations = dict.fromkeys(beyond, step) | self.first_violations
        return [self._violation(name, step, means[RULES[name][0]]) for name in beyond]

    def state(self) -> State:
        """The metrics so far, and the first violations."""
        return {"seen": self._seen, "first": self.first_violations}

    def restore(self, state: State) -> None:
        """Resume from the state of another monitor."""
        self._seen, self.first_violations = list(state["seen"]), dict(state["first"])

    def within_limits(self, metrics: Mapping[str, float]) -> bool:
        """Whether the metrics of a single step are within every limit."""
        return not any(self._beyond(name, metrics) for name in self.guards)

    def _beyond(self, name: str, metrics: Mapping[str, float]) -> bool:
        limit, number = self.guards[name].limit, metrics[RULES[name][0]]
        return number > limit if name.startswith("max") else number < limit

    def _violation(self, name: str, step: int, mean: float) -> GuardViolation:
        metric, cause = RULES[name][0], self._wording.causes[name]
        guard, side = self.guards[name], "above" if name.startswith("max") else "below"
        fault = (
            f"{metric} {mean:.4g} is {side} {guard.limit:g} "
            f"(step {step}, mean of {self.window_steps} {self._wording.unit})"
        )
        message = f"{self._wording.section}.guards.{name}: {fault}: {cause}"
        return GuardViolation(name, guard.strength, message)


def held_out_fall(scores: Sequence[float], held_out: Sequence[float], window: int) -> float:
    """Over-optimisation (arXiv 2210.10760): the held-out score's fall from its best while the score rose.

    `scores` and `held_out` have one number per step, and are compared as means over `window` steps. 0 if
    there is no such fall.
    """
    proxy, unseen = _means(scores, window), _means(held_out, window)
    if not unseen:
        return 0.0
    best = max(range(len(unseen)), key=unseen.__getitem__)
    return unseen[best] - unseen[-1] if proxy[-1] > proxy[best] else 0.0


def _means(numbers: Sequence[float], window: int) -> list[float]:
    return [sum(numbers[end - window : end]) / window for end in range(window, len(numbers) + 1)]
