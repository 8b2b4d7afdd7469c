"""Ranks must be a weak order of the responses; Great Expectations lists those that are not."""

from alignloop.data.validation.rules.weak_order import ExpectColumnValuesToBeWeakOrders
from tests.data.validation.rules.conftest import Unmet


def test_ties_and_any_number_of_responses_are_valid_and_gaps_zeros_and_missing_ranks_are_not(
    unmet: Unmet,
) -> None:
    orders = ["1 2 of 2", "1 1 of 2", "2 1 2 3 of 4", f"{' '.join(map(str, range(1, 41)))} of 40", None]
    others = ["1 3 3 of 3", "0 1 of 2", "1 2 of 3", "1 2 3 of 2", "-1 1 of 2", "2 2 of 2", " of 2"]
    assert unmet(ExpectColumnValuesToBeWeakOrders(column="value"), [*orders, *others]) == others
    assert unmet(ExpectColumnValuesToBeWeakOrders(column="value"), orders) == []
    assert unmet(ExpectColumnValuesToBeWeakOrders(column="value"), [None]) == []
