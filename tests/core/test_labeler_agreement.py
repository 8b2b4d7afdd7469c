"""Agreement as worked by hand."""

import pytest

from alignloop.core.labeler_agreement import agreement, alpha, by_labeler, share


def test_agreement_counts_pairs_that_are_ordered_and_halves_for_ties() -> None:
    assert agreement((1, 2, 3), (1, 2, 3)) == (3, 3)
    assert agreement((1, 2, 3), (3, 2, 1)) == (0, 3)
    assert agreement((1, 2, 3), (1, 1, 2)) == (2.5, 3)
    assert agreement((1, 1, 2), (2, 1, 3)) == (2, 2)  # what is tied there asks nothing
    assert agreement((1, 2), None) == (0, 1)


def test_alpha_is_one_for_equal_orders_negative_for_opposed_ones_and_none_where_nothing_is_shared() -> None:
    assert alpha({1: {"a": (1, 2, 3), "b": (1, 2, 3)}, 2: {"a": (2, 1, 3), "b": (2, 1, 3)}}) == pytest.approx(
        1
    )
    opposed = alpha({1: {"a": (1, 2, 3), "b": (3, 2, 1)}})
    assert opposed is not None
    assert opposed < 0
    assert alpha({1: {"a": (1, 2), "b": (1, 2)}}) == pytest.approx(1), "two ranks are enough"
    assert alpha({1: {"a": (1, 2)}, 2: {"b": (1, 2)}}) is None
    assert alpha({1: {"a": (1, 1), "b": (1, 1)}}) is None


def test_alpha_is_krippendorffs_own_example_of_ordinal_data_with_gaps() -> None:
    # Content Analysis, 2nd ed., 11.3.2: four observers, twelve units, ordinal: 0.815
    observers = {
        "a": (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
        "b": (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
        "c": (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
        "d": (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
    }
    units = {
        unit: {name: (given[unit],) for name, given in observers.items() if given[unit]} for unit in range(12)
    }
    assert alpha(units) == pytest.approx(0.815, abs=0.0005)  # pyright: ignore[reportArgumentType]


def test_orders_of_different_answers_are_no_orders_of_one_item() -> None:
    with pytest.raises(ValueError, match="shorter"):
        alpha({1: {"a": (1, 2, 3), "b": (1, 2)}})


def test_each_labeler_is_told_by_the_pairs_that_the_others_order() -> None:
    found = by_labeler(
        {1: {"a": (1, 2, 3), "b": (1, 2, 3), "c": (3, 2, 1)}, 2: {"a": (1, 2)}, 3: {"b": (1, 1), "c": (1, 2)}}
    )
    assert found == {"a": (3, 6), "b": (3.5, 7), "c": (0, 6)}
    assert share(found["a"]) == 0.5
    assert share((0, 0)) is None
