"""Checkpoint selection: keeps the weights with the best validation result."""

from torch import Tensor, nn

from alignloop.core.train_state import State, put_weights, weights_of


def check_steps(steps: int, checks: int) -> set[int]:
    """The steps (from 1) after which to validate: `checks` of them, evenly spread, the last one included."""
    return {max(1, round(steps * number / checks)) for number in range(1, checks + 1)}


class BestWeights:
    """The best weights of a model so far, and their step; of equally good ones the earliest."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.step, self._metric = 0, float("-inf")
        self._weights: dict[str, Tensor] = {}

    def update(self, step: int, metric: float) -> None:
        """Keep a copy of the model's current weights if `metric` is higher than at any step before."""
        if metric > self._metric:
            self.step, self._metric = step, metric
            self._weights = {name: weight.clone() for name, weight in weights_of(self._model).items()}

    def load_best(self) -> int:
        """Load the best weights into the model and return their step; call `update` before."""
        put_weights(self._model, self._weights)
        return self.step

    def state(self) -> State:
        """The best weights so far with their step and metric."""
        return {"step": self.step, "worth": self._metric, "weights": self._weights}

    def restore(self, state: State) -> None:
        """Resume from the state of another selection."""
        self.step, self._metric = state["step"], state["worth"]
        self._weights = dict(state["weights"])
