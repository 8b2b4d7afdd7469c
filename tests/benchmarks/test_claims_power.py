"""The power of paired t tests: published numbers, limits, and the table's lines."""

import pytest

from benchmarks.claims_power import power, power_table, seeds_needed


def test_the_power_is_that_of_published_tables():
    assert power(0.5, 34) == pytest.approx(0.808, abs=1e-3), "Cohen's medium effect; G*Power 3.1"
    assert power(0.0, 10) == pytest.approx(0.025), "without an effect, the upper end of a 95 % interval"


def test_the_fewest_seeds_have_the_power_and_one_less_has_not():
    for effect in (0.3, 0.8, 1.5):
        needed = seeds_needed(effect)
        assert needed
        assert power(effect, needed) >= 0.8 > power(effect, needed - 1)
    assert seeds_needed(0.0) is None


def test_a_line_has_mean_deviation_power_and_seeds():
    line = power_table({"a − b": [0.0, 0.5, 1.0]}).splitlines()[2]
    assert line == f"| a − b | 3 | 0.5 | 0.5 | {power(1.0, 3):.2f} | {seeds_needed(1.0)} |"
    assert "| > 1000 |" in power_table({"nothing": [-1.0, 1.0]})
    assert power_table({"always": [2.0, 2.0]}).splitlines()[2].endswith("| 1.00 | 2 |")
