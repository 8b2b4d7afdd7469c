"""What PPO watches while it runs: limits on KL, entropy, diversity, endings and over-optimisation, and what follows beyond them.

A guard compares the mean of its metric over the last steps with its limit. Three strengths: `warn` says so and goes on,
`stop` ends the training with the best healthy policy, `fail` ends it with an error and no policy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from alignloop.core.experience import Rollouts, Score
from alignloop.core.train_state import State
from alignloop.errors import AlignloopError

Strength = Literal["warn", "stop", "fail"]

RULES = {  # a guard's key in params.yaml, whose first syllable says on which side of the limit trouble lies: its metric, cause and remedy
    "max_kl_per_response_nats": (
        "kl",
        "the policy has left its reference; raise ppo.kl.coef, or lower ppo.learning_rate",
    ),
    "min_kl_per_response_nats": (
        "kl",
        "answers are likelier to the reference than to the policy that drew them, which in expectation cannot be: a step draws too few to "
        "tell (raise ppo.prompts_per_step), or the two models differ in temperature or allowed tokens",
    ),
    "min_entropy_per_token_nats": (
        "entropy",
        "the policy is sure of every token; raise ppo.kl.coef, or lower ppo.learning_rate",
    ),
    "min_distinct_2": (
        "distinct_2",
        "answers repeat each other and themselves; raise ppo.kl.coef or ppo.ptx_coef",
    ),
    "min_ended": (
        "ended",
        "answers lose their end; lower ppo.missing_eos_score, or raise decoding.max_new_tokens",
    ),
    "max_held_out_fall": (
        "held_out_fall",
        "the score rises while a reward model of other labelers sees answers get worse; raise ppo.kl.coef, or lower ppo.steps",
    ),
}


class GuardTripped(AlignloopError):
    """A guard of strength `fail` found PPO beyond its limit; the message names the guard, the step, the cause and the remedy."""


@dataclass(frozen=True)
class Guard:
    """A limit, and what follows beyond it."""

    limit: float
    strength: Strength


@dataclass(frozen=True)
class Trip:
    """A guard that found its metric beyond the limit."""

    guard: str
    strength: Strength
    message: str


class Watch:
    """The guards of one run, by their keys in RULES, the metrics they have seen, and the score that the policy does not learn from."""

    def __init__(self, guards: Mapping[str, Guard], window_steps: int, held_out: Score | None = None) -> None:
        self.guards, self.window_steps, self.held_out = dict(guards), window_steps, held_out
        self.first: dict[str, int] = {}  # the first step at which a guard was beyond its limit
        self._seen: list[Mapping[str, float]] = []

    @property
    def stops(self) -> bool:
        """Whether a guard may end the training with a policy."""
        return any(guard.strength == "stop" for guard in self.guards.values())

    def see(self, step: int, metrics: dict[str, float], rollouts: Rollouts) -> list[Trip]:
        """Take in a step, adding to its metrics what the held-out score says; returns every guard that is beyond its limit now."""
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
        self.first = dict.fromkeys(beyond, step) | self.first
        return [self._trip(name, step, means[RULES[name][0]]) for name in beyond]

    def state(self) -> State:
        """What the guards have seen."""
        return {"seen": self._seen, "first": self.first}

    def restore(self, state: State) -> None:
        """Go on as if what another watch has seen had been seen here."""
        self._seen, self.first = list(state["seen"]), dict(state["first"])

    def sound(self, metrics: Mapping[str, float]) -> bool:
        """Whether this one step is within every limit."""
        return not any(self._beyond(name, metrics) for name in self.guards)

    def _beyond(self, name: str, metrics: Mapping[str, float]) -> bool:
        limit, number = self.guards[name].limit, metrics[RULES[name][0]]
        return number > limit if name.startswith("max") else number < limit

    def _trip(self, name: str, step: int, mean: float) -> Trip:
        metric, cause = RULES[name]
        guard, side = self.guards[name], "above" if name.startswith("max") else "below"
        said = (
            f"{metric} {mean:.4g} is {side} {guard.limit:g} (step {step}, mean of {self.window_steps} steps)"
        )
        return Trip(name, guard.strength, f"ppo.guards.{name}: {said}: {cause}")


def held_out_fall(scores: Sequence[float], held_out: Sequence[float], window: int) -> float:
    """How far the held-out score has fallen from its best while the score rose; 0 if it has not (over-optimisation, arXiv 2210.10760).

    Both are one number a step, and compared as means over `window` steps.
    """
    proxy, gold = _means(scores, window), _means(held_out, window)
    if not gold:
        return 0.0
    best = max(range(len(gold)), key=gold.__getitem__)
    return gold[best] - gold[-1] if proxy[-1] > proxy[best] else 0.0


def _means(numbers: Sequence[float], window: int) -> list[float]:
    return [sum(numbers[end - window : end]) / window for end in range(window, len(numbers) + 1)]
