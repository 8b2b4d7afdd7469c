"""Distances between two versions, worked out by hand, and the warnings about them."""

from math import pi, sqrt
from typing import Any

import pytest

from alignloop.lineage.drift.distances import measure_shifts, total_variation

BOUNDS = {"length": 0.1, "category": 0.1, "language": 0.1, "labeler": 0.2, "agreement": 0.1}


def profile(rows: int, **mixes: dict[str, int]) -> dict[str, Any]:
    return {"rows": rows, "characters": 10.0, "mixes": mixes}


def warned(old: dict[str, Any], new: dict[str, Any], **bounds: float | None) -> list[str]:
    return [
        shift.measure
        for shift in measure_shifts({"s": old}, {"s": new}, {**BOUNDS, **bounds})
        if shift.exceeds_bound
    ]


def test_a_distribution_moves_by_the_share_of_records_that_changed() -> None:
    moved, chance = total_variation({"a": 50, "b": 50}, {"a": 80, "b": 20})
    assert moved == pytest.approx(0.3)
    assert chance == pytest.approx(sqrt(2 / pi * 0.65 * 0.35 * 0.02)), "half of it for each of the two values"
    assert total_variation({"a": 5}, {"b": 7})[0] == 1
    assert total_variation({"a": 5, "b": 10}, {"a": 50, "b": 100})[0] == pytest.approx(0)


def test_chance_is_the_mean_distance_of_two_samples_of_one_source() -> None:
    import numpy as np

    draws, shares = np.random.default_rng(0), [0.5, 0.3, 0.15, 0.05]
    samples = [
        [dict(enumerate(map(int, draws.multinomial(size, shares)))) for size in (200, 80)]
        for _ in range(2000)
    ]
    named = [[{str(value): count for value, count in each.items()} for each in pair] for pair in samples]
    moved, chance = np.mean([total_variation(*pair) for pair in named], axis=0)
    assert moved == pytest.approx(chance, rel=0.03)


def test_the_same_shift_is_a_warning_among_many_records_and_not_among_few() -> None:
    def half(n: int, more: int = 0) -> dict[str, Any]:
        return profile(n, category={"a": n // 2 + more, "b": n // 2 - more})

    assert warned(half(20), half(20, 4)) == []
    assert warned(half(2000), half(2000, 400)) == ["category"]
    assert warned(half(2000), half(2000, 400), category=None) == [], "no bound, no warning"
    assert warned(half(2000), half(2000, 400), category=0.2) == [], "exactly its bound"


def test_a_warning_has_set_measure_both_numbers_and_bound() -> None:
    old, new = (
        profile(1000, category={"fact": 300, "other": 700}),
        profile(2000, category={"fact": 1400, "other": 600}),
    )
    [warning] = [
        str(shift)
        for shift in measure_shifts({"prompts": old}, {"prompts": new}, BOUNDS)
        if shift.exceeds_bound
    ]
    assert warning == (
        "prompts: category: fact 30.0% → 70.0%; it moved by 0.400, "
        "more than validate.drift.category 0.1 plus 0.015 by chance"
    )


def test_a_measure_that_one_version_lacks_moved_wholly_and_one_that_both_lack_is_left_out() -> None:
    assert warned(profile(500), profile(500, language={"en": 500})) == ["language"]
    assert [shift.measure for shift in measure_shifts({"s": profile(5)}, {"s": profile(5)}, BOUNDS)] == []


def test_agreement_moves_by_the_difference_of_two_shares_if_both_have_shared_rankings() -> None:
    high, low, none = (
        {**profile(9), "agreement": {"points": points, "pairs": pairs}}
        for points, pairs in ((900.0, 1000), (600.0, 1000), (0.0, 0))
    )
    [shift] = measure_shifts({"s": high}, {"s": low}, BOUNDS)
    assert (shift.statistic, shift.before, shift.now, shift.exceeds_bound) == (
        "pairs ordered alike",
        "90.0%",
        "60.0%",
        True,
    )
    assert shift.distance == pytest.approx(0.3)
    assert shift.chance == pytest.approx(sqrt(2 / pi * 0.75 * 0.25 * 0.002))
    assert list(measure_shifts({"s": high}, {"s": none}, BOUNDS)) == []
