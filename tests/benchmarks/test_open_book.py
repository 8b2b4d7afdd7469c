"""The intervals of the open-book table: two questions about one fact are no independent evidence."""

from math import sqrt

import pytest

from benchmarks.open_book import share


def test_flags_of_one_fact_count_as_one_piece_of_evidence() -> None:
    once = [("a", True), ("b", True), ("c", False), ("d", False)]
    assert share(once) == [0.5, pytest.approx(1.96 * sqrt(4 * 0.25 * 4 / 3) / 4), 4]
    assert share(once * 2) == [0.5, pytest.approx(share(once)[1]), 8], "asked twice, and answered alike"
    apart = [("a", True), ("a", False), ("b", True), ("b", False)]
    assert share(apart) == [0.5, 0, 4], "facts do not differ"
    assert share([]) == []
