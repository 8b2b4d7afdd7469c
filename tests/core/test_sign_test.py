"""The sign test counts wins, losses and ties, is exact, and needs as many comparisons as McNemar's test."""

import pytest

from alignloop.core.sign_test import sign_test


@pytest.mark.parametrize(
    ("outcomes", "counts", "chance", "preferred"),
    [
        ([], (0, 0, 0), 1.0, 0),
        ([1.0] * 5, (5, 0, 0), 2 / 2**5, 0),  # 0.0625: five of five may be chance
        ([1.0] * 6, (6, 0, 0), 2 / 2**6, 1),  # 0.03125
        ([0.0] * 6, (0, 6, 0), 2 / 2**6, -1),
        ([1.0] * 4 + [0.0] * 4, (4, 4, 0), 1.0, 0),
        ([1.0] * 7 + [0.0], (7, 1, 0), 2 * (1 + 8) / 2**8, 0),  # 0.0703
        ([1.0] * 8 + [0.0], (8, 1, 0), 2 * (1 + 9) / 2**9, 1),  # 0.0391
        ([1.0] * 6 + [0.5] * 94, (6, 0, 94), 2 / 2**6, 1),  # ties say nothing for or against either
        ([0.75] * 6, (6, 0, 0), 2 / 2**6, 1),  # the mean of several votes on one prompt
    ],
)
def test_the_chance_is_the_binomial_one_of_the_preferences(
    outcomes: list[float], counts: tuple[int, int, int], chance: float, preferred: int
):
    found = sign_test(outcomes)
    assert (found.better, found.worse, found.same) == counts
    assert found.chance == pytest.approx(chance)
    assert found.preferred == preferred


def test_the_comparisons_needed_are_those_of_mcnemars_formula():
    # (1.959964 √ψ + 0.841621 √(ψ − d²))² / d²
    assert sign_test([]).needed == 783  # ψ = 1, d = 0.1: (1.959964 + 0.837403)² · 100 = 782.5
    assert sign_test([], difference=0.2).needed == 194  # (1.959964 + 0.824616)² · 25 = 193.8
    many = [1.0] * 50_000 + [0.0] * 50_000 + [0.5] * 100_000
    # ψ is 0.502191, the upper end of Wilson's interval of a half: (1.388925 + 0.590432)² · 100 = 391.8
    assert sign_test(many).needed == 392
    assert sign_test([1.0, 0.0] * 4).needed == 783, "no tie in eight promises none"
    assert sign_test([0.5] * 8).needed == 253, "ties in all of eight do not promise the same of more"
    assert sign_test([0.5] * 10_000).needed == 77, "ψ cannot be less than the difference: 0.1"
