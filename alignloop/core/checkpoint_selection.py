"""Which weights a training keeps: those that did best at its checks."""

from torch import Tensor, nn

from alignloop.core.train_state import State, put_weights, weights_of


def check_steps(steps: int, checks: int) -> set[int]:
    """The steps (from 1) after which to check: `checks` of them, evenly spread, the last step among them."""
    return {max(1, round(steps * number / checks)) for number in range(1, checks + 1)}


class Choice:
    """The best weights of a model so far, and the step they were learned at; of equals the earliest."""

    def __init__(self, model: nn.Module) -> None:
        self.step, self._worth, self._model = 0, float("-inf"), model
        self._weights: dict[str, Tensor] = {}

    def see(self, step: int, worth: float) -> None:
        """Keep the model's weights as they are now, if they are worth more than any before."""
        if worth > self._worth:
            self.step, self._worth = step, worth
            self._weights = {name: weight.clone() for name, weight in weights_of(self._model).items()}

    def take(self) -> int:
        """Give the model the best weights, once there was a check; returns their step."""
        put_weights(self._model, self._weights)
        return self.step

    def state(self) -> State:
        """What has been chosen so far."""
        return {"step": self.step, "worth": self._worth, "weights": self._weights}

    def restore(self, state: State) -> None:
        """Go on from another choice's state."""
        self.step, self._worth, self._weights = state["step"], state["worth"], dict(state["weights"])
