"""What tells which weights a server has, and that it uses its seeds, at numbers worked by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignloop.inference.proofs import Arrival, arrival, different_prompts, equal_by_no_chance

BEFORE, NOW = torch.tensor([-1.0, -2.0, -3.0, -4.0]), torch.tensor([-1.0, -2.5, -2.0, -4.0])


def test_the_share_that_arrived_by_hand():
    """The change is (0, −½, 1, 0), of length √1.25; a server that shows half of its second part has 0.8."""
    change = math.sqrt(1.25) / 2
    assert arrival(BEFORE, NOW, NOW) == pytest.approx((1.0, 0.0, change, 4))
    assert arrival(BEFORE, NOW, BEFORE) == pytest.approx((0.0, change, change, 4))
    partly = arrival(BEFORE, NOW, torch.tensor([-1.0, -2.0, -2.0, -4.0]))
    assert partly.share == pytest.approx(0.8)
    assert partly.noise == pytest.approx(0.25)
    assert arrival(NOW, NOW, NOW) == Arrival(1.0, 0.0, 0.0, 4)


@pytest.mark.parametrize(
    ("found", "first_noise", "doubtful"),
    [
        (Arrival(1.0, 0.0, 0.1, 100), 0.0, False),
        (Arrival(1.0, 9e-5, 0.0, 100), 0.0, False),  # nothing changed, and rounding is no news
        (Arrival(1.0, 2e-4, 0.0, 100), 0.0, True),
        (Arrival(0.0, 0.1, 0.1, 100), 0.1, True),  # error 0.1: 0 < 1 − 0.1 − 0.4
        (Arrival(0.51, 0.1, 0.1, 100), 0.1, False),
        (Arrival(0.49, 0.1, 0.1, 100), 0.1, True),
        (Arrival(0.0, 0.3, 0.1, 100), 0.3, False),  # three times as noisy as what changed: nobody can tell
        (Arrival(0.0, 0.3, 0.1, 10_000), 0.3, True),  # by many tokens one can
        (Arrival(0.99, 0.011, 0.1, 10_000), 0.001, True),  # eleven times the noise that it had
        (Arrival(0.99, 0.009, 0.1, 10_000), 0.001, False),
        (Arrival(0.99, 0.011, 0.2, 10_000), 0.001, False),  # less than a tenth of what changed
    ],
)
def test_what_is_doubtful_by_hand(found: Arrival, first_noise: float, doubtful: bool):
    assert found.is_doubtful(first_noise) == doubtful


@settings(derandomize=True)
@given(st.integers(0, 2**31), st.floats(1e-4, 1.0), st.floats(0.0, 3.0))
def test_a_servers_own_noise_raises_no_alarm(seed: int, change: float, noise: float):
    generator = torch.Generator().manual_seed(seed)
    before, step, one, other = torch.randn(4, 300, generator=generator, dtype=torch.float64)
    now = before + change * step
    first = arrival(before, before, before + noise * change * one).noise
    assert not arrival(before, now, now + noise * change * other).is_doubtful(first)


def test_equal_responses_are_chance_only_as_long_as_they_are_likely():
    likely, unlikely = torch.tensor([-0.1, -0.2]), torch.tensor([-7.0, -7.0])  # e⁻¹⁴ < 10⁻⁶
    prompts, same = [[1], [2], [1]], [[5, 6], [7], [5, 6]]
    assert equal_by_no_chance(prompts, same, [unlikely, likely, unlikely])
    assert not equal_by_no_chance(prompts, same, [likely, unlikely, likely])
    assert not equal_by_no_chance(prompts, [[5, 6], [7], [5, 5]], [unlikely] * 3)
    assert not equal_by_no_chance([[1], [2]], [[5], [5]], [unlikely] * 2), "different prompts may agree"
    two_groups = [[1], [1], [2], [2]]
    assert equal_by_no_chance(two_groups, [[5], [5], [6], [6]], [unlikely / 2] * 4)
    assert not equal_by_no_chance(two_groups, [[5], [5], [6], [7]], [unlikely] * 4)


def test_prompts_are_spread_evenly_and_each_is_taken_once():
    assert different_prompts([[n] for n in range(16)], 8) == [[n] for n in range(0, 16, 2)]
    assert different_prompts([[1], [1], [2]], 8) == [[1], [2]]
