"""Labeler agreement at numbers worked by hand."""

import pytest

from alignloop.core.labeler_agreement import agreement, agreement_rate, alpha, by_labeler


def test_agreement_counts_ordered_pairs_and_a_half_for_ties() -> None:
    assert agreement((1, 2, 3), (1, 2, 3)) == (3, 3)
    assert agreement((1, 2, 3), (3, 2, 1)) == (0, 3)
    assert agreement((1, 2, 3), (1, 1, 2)) == (2.5, 3)
    assert agreement((1, 1, 2), (2, 1, 3)) == (2, 2)  # pairs tied in the reference do not count
    assert agreement((1, 2), None) == (0, 1)


def test_alpha_is_one_for_equal_rankings_negative_for_opposed_ones_and_none_without_overlap() -> None:
    assert alpha({1: {"a": (1, 2, 3), "b": (1, 2, 3)}, 2: {"a": (2, 1, 3), "b": (2, 1, 3)}}) == pytest.approx(
        1
    )
    opposed = alpha({1: {"a": (1, 2, 3), "b": (3, 2, 1)}})
    assert opposed is not None
    assert opposed < 0
    assert alpha({1: {"a": (1, 2), "b": (1, 2)}}) == pytest.approx(1), "two ranks are enough"
    assert alpha({1: {"a": (1, 2)}, 2: {"b": (1, 2)}}) is None
    assert alpha({1: {"a": (1, 1), "b": (1, 1)}}) is None


def test_alpha_of_krippendorffs_example_of_ordinal_data_with_gaps() -> None:
    # Content Analysis, 2nd ed., 11.3.2: four observers, twelve units, ordinal: 0.815
    observers = {
        "a": (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
        "b": (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
        "c": (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
        "d": (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
    }
    units = {
        unit: {name: (ranks[unit],) for name, ranks in observers.items() if ranks[unit]} for unit in range(12)
    }
    assert alpha(units) == pytest.approx(0.815, abs=0.0005)  # pyright: ignore[reportArgumentType]


def test_rankings_of_different_lengths_of_one_item_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        alpha({1: {"a": (1, 2, 3), "b": (1, 2)}})


def test_each_labeler_is_compared_with_the_pairs_of_the_others() -> None:
    agreements = by_labeler(
        {1: {"a": (1, 2, 3), "b": (1, 2, 3), "c": (3, 2, 1)}, 2: {"a": (1, 2)}, 3: {"b": (1, 1), "c": (1, 2)}}
    )
    assert agreements == {"a": (3, 6), "b": (3.5, 7), "c": (0, 6)}
    assert agreement_rate(agreements["a"]) == 0.5
    assert agreement_rate((0, 0)) is None
