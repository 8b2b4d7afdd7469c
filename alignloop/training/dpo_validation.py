"""Validation during training on rankings: the loss on validation rankings, and the policy's own responses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from alignloop.core.checkpoint_selection import BestWeights
from alignloop.core.dpo import Comparison, drawn_rollouts, measure
from alignloop.core.dpo_config import DpoConfig
from alignloop.core.experience import Rollouts, Score
from alignloop.core.guards import GuardMonitor, GuardTripped, GuardViolation
from alignloop.core.ranked_logprobs import Reading
from alignloop.core.sampler import Sampler
from alignloop.core.train_state import State
from alignloop.params.sample import Decoding
from alignloop.phases import phase
from alignloop.seeds import seed_of

if TYPE_CHECKING:
    from peft import PeftModel

START = -1e30  # worse than any loss: the weights that training starts from


class Validation:
    """Looks at the policy after a step, keeps its best weights, and says when a guard stops the training.

    The best weights have the lowest loss on the rankings in `unseen`; without any the last ones count. Where
    a guard may stop the training, only weights within every limit do.
    """

    def __init__(
        self,
        policy: PreTrainedModel,
        reference: "PreTrainedModel | PeftModel",
        reading: Reading,
        config: DpoConfig,
        *,
        unseen: Sequence[Comparison],
        prompts: list[list[int]],
        score: Score,
        guards: GuardMonitor,
        decoding: Decoding,
        seed: int,
    ) -> None:
        self._policy, self._reference = policy, reference
        self._reading, self._config = reading, config
        self._unseen, self._prompts = unseen, prompts
        self._score, self._guards = score, guards
        self._decoding, self._seed = decoding, seed
        self._best, self.stopped = BestWeights(policy), False
        self._best.update(0, START)

    def look(self, step: int, sampler: Sampler) -> tuple[dict[str, float], Rollouts, list[GuardViolation]]:
        """The numbers after a step, the responses drawn, and the guards that are beyond their limits now.

        Raises GuardTripped for a guard of strength `fail`.
        """
        with phase("validation"):
            sampler.follow(self._policy)
            drawn = sampler.draw(
                self._prompts,
                self._reading.rules,
                temperature=self._decoding.temperature,
                max_new_tokens=self._decoding.max_new_tokens,
                generator=torch.Generator().manual_seed(seed_of(self._seed, str(step))),
                batch=self._decoding.responses_per_batch,
            )
            rollouts, numbers = drawn_rollouts(
                self._reference,
                self._score,
                self._prompts,
                drawn,
                reading=self._reading,
                beta=self._config.beta,
            )
            if self._unseen:
                measured = measure(self._policy, self._unseen, self._reading, self._config)
                numbers |= {f"valid_{name}": number for name, number in measured.items()}
            guards = self._guards
            violations = guards.check(step, numbers, rollouts)
        if any(violation.strength == "fail" for violation in violations):
            raise GuardTripped("\n".join(violation.message for violation in violations))
        self.stopped = any(violation.strength == "stop" for violation in violations)
        if not self.stopped and (not guards.can_stop or guards.within_limits(numbers)):
            self._best.update(step, -numbers["valid_loss"] if self._unseen else step)
        return numbers, rollouts, violations

    def load_best(self, step: int) -> int:
        """Load the best weights into the policy after the last step; returns the step that they are of."""
        return self._best.load_best() if self.stopped or self._best.step else step

    def first_violations(self) -> dict[str, Any]:
        """The first step at which each guard was beyond its limit; empty where none was."""
        first = self._guards.first_violations
        return {"first_step_beyond": first} if first else {}

    def is_first(self, violation: GuardViolation, step: int) -> bool:
        """Whether a guard is beyond its limit for the first time."""
        return self._guards.first_violations[violation.guard] == step

    def state(self) -> State:
        """The best weights so far, what the guards have seen, and whether one has stopped the training."""
        return {"best": self._best.state(), "guards": self._guards.state(), "stopped": self.stopped}

    def restore(self, state: State) -> None:
        """Resume from the state of another validation."""
        self._best.restore(state["best"])
        self._guards.restore(state["guards"])
        self.stopped = state["stopped"]
