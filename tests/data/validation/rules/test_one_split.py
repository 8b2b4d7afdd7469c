"""Great Expectations lists what occurs in two splits."""

from alignloop.data.validation.rules.one_split import ExpectColumnValuesToNameOneSplit
from tests.data.validation.rules.conftest import Unmet


def test_one_split_or_none_is_valid_and_two_or_three_are_not(unmet: Unmet) -> None:
    expectation = ExpectColumnValuesToNameOneSplit(column="value")
    assert unmet(expectation, ["train", "test, train", None, "valid", "test, train, valid"]) == [
        "test, train",
        "test, train, valid",
    ]
    assert unmet(expectation, [None, "train"]) == []
