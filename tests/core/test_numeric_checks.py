"""Non-finite numbers stop a training with a message that names step, rows, cause and remedy."""

import math

import pytest
import torch
from torch import Tensor

from alignloop.core.numeric_checks import NonFiniteLoss, at_step, finite, naming

NAN = torch.tensor(math.nan)
NAMES, SANE = ["a", "b", "c"], [torch.zeros(2)]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_non_finite_loss_is_an_error_that_names_it(number: float):
    with pytest.raises(NonFiniteLoss, match=r"the policy loss is -?(nan|inf)"):
        finite(torch.tensor(number), "the policy loss")
    assert finite(torch.tensor(2.0), "a loss") == 2


def test_the_message_names_step_rows_and_the_cause_that_the_weights_show():
    def message(rows: list[int], weights: list[Tensor]) -> str:
        with pytest.raises(NonFiniteLoss) as error, at_step(7, NAMES, weights):
            finite(NAN, "the loss", rows)
        return str(error.value)

    assert message([0, 2], SANE) == (
        "step 7: the loss is nan, in a, c: "
        "all weights are still finite: look at these rows, then at the learning rate"
    )
    assert message([], [torch.zeros(2), torch.tensor([1e7])]) == (
        "step 7: the loss is nan, in a, b, c: "
        "the weights diverged in an earlier step: lower the learning rate"
    )
    assert message([], [NAN[None]]).endswith("lower the learning rate")


def test_names_that_are_known_already_are_kept():
    with (
        pytest.raises(NonFiniteLoss, match="the loss is nan, in document: ") as error,
        at_step(1, NAMES, SANE),
        naming(["document"]),
    ):
        finite(NAN, "the loss", [0])
    assert error.value.names == ["document"]
    with pytest.raises(NonFiniteLoss, match=r"the loss is nan: lower"), naming(()):
        finite(NAN, "the loss", [5])


def test_at_most_eight_rows_are_listed():
    with (
        pytest.raises(NonFiniteLoss, match=r"in 0, 1, 2, 3, 4, 5, 6, 7 and 2 more: "),
        naming(list("0123456789")),
    ):
        finite(NAN, "the loss")
    with pytest.raises(NonFiniteLoss, match=r"in 0, 1, 2, 3, 4, 5, 6, 7: "), naming(list("01234567")):
        finite(NAN, "the loss")
