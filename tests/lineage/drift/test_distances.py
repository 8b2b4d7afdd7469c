"""How far two versions are apart, by hand, and when that is worth a warning."""

from math import pi, sqrt
from typing import Any

import pytest

from alignloop.lineage.drift.distances import distance, shifts

BOUNDS = {"length": 0.1, "category": 0.1, "language": 0.1, "labeler": 0.2, "agreement": 0.1}


def profile(rows: int, **mixes: dict[str, int]) -> dict[str, Any]:
    return {"rows": rows, "characters": 10.0, "mixes": mixes}


def warned(old: dict[str, Any], new: dict[str, Any], **bounds: float | None) -> list[str]:
    return [shift.measure for shift in shifts({"s": old}, {"s": new}, {**BOUNDS, **bounds}) if shift.warns]


def test_a_mix_moves_by_the_share_of_records_that_are_others() -> None:
    moved, chance = distance({"a": 50, "b": 50}, {"a": 80, "b": 20})
    assert moved == pytest.approx(0.3)
    assert chance == pytest.approx(sqrt(2 / pi * 0.65 * 0.35 * 0.02)), "half of it for each of the two values"
    assert distance({"a": 5}, {"b": 7})[0] == 1
    assert distance({"a": 5, "b": 10}, {"a": 50, "b": 100})[0] == pytest.approx(0)


def test_chance_is_what_two_samples_of_one_source_differ_by() -> None:
    import numpy as np

    draws, shares = np.random.default_rng(0), [0.5, 0.3, 0.15, 0.05]
    samples = [
        [dict(enumerate(map(int, draws.multinomial(size, shares)))) for size in (200, 80)]
        for _ in range(2000)
    ]
    named = [[{str(value): count for value, count in each.items()} for each in pair] for pair in samples]
    moved, chance = np.mean([distance(*pair) for pair in named], axis=0)
    assert moved == pytest.approx(chance, rel=0.03)


def test_the_same_shift_warns_among_many_and_not_among_few() -> None:
    def half(n: int, more: int = 0) -> dict[str, Any]:
        return profile(n, category={"a": n // 2 + more, "b": n // 2 - more})

    assert warned(half(20), half(20, 4)) == []
    assert warned(half(2000), half(2000, 400)) == ["category"]
    assert warned(half(2000), half(2000, 400), category=None) == [], "no bound, no warning"
    assert warned(half(2000), half(2000, 400), category=0.2) == [], "as far as its bound and no further"


def test_a_warning_names_set_measure_both_numbers_and_bound() -> None:
    old, new = (
        profile(1000, category={"fact": 300, "other": 700}),
        profile(2000, category={"fact": 1400, "other": 600}),
    )
    [told] = [str(shift) for shift in shifts({"prompts": old}, {"prompts": new}, BOUNDS) if shift.warns]
    assert told == (
        "prompts: category: fact 30.0% → 70.0%; it moved by 0.400, "
        "beyond validate.drift.category 0.1 and the 0.015 that chance makes of so few"
    )


def test_a_mix_that_only_one_version_tells_moved_wholly_and_one_that_neither_tells_is_left_out() -> None:
    assert warned(profile(500), profile(500, language={"en": 500})) == ["language"]
    assert [shift.measure for shift in shifts({"s": profile(5)}, {"s": profile(5)}, BOUNDS)] == []


def test_agreement_moves_by_the_difference_of_two_shares_and_not_where_nothing_is_shared() -> None:
    high, low, none = (
        {**profile(9), "agreement": {"points": points, "pairs": pairs}}
        for points, pairs in ((900.0, 1000), (600.0, 1000), (0.0, 0))
    )
    [shift] = shifts({"s": high}, {"s": low}, BOUNDS)
    assert (shift.what, shift.before, shift.now, shift.warns) == (
        "pairs ordered alike",
        "90.0%",
        "60.0%",
        True,
    )
    assert shift.distance == pytest.approx(0.3)
    assert shift.chance == pytest.approx(sqrt(2 / pi * 0.75 * 0.25 * 0.002))
    assert list(shifts({"s": high}, {"s": none}, BOUNDS)) == []
