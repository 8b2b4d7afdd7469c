"""Counts of a reward model's errors by kind of pair, at numbers worked by hand."""

from dataclasses import replace

import pytest

from alignloop.world.gold import Gold
from benchmarks.pairs import ALL, Tally, kinds, table

RIGHT = Gold(
    2.0,
    passed=True,
    made_up=False,
    over_refused=False,
    helpful=1.0,
    honest=1.0,
    harmless=1.0,
    reasons=(),
)
FALSE = Gold(
    -1.2,
    passed=False,
    made_up=False,
    over_refused=False,
    helpful=0.2,
    honest=0.0,
    harmless=1.0,
    reasons=("false", "curt"),
)


def test_a_pair_is_counted_by_the_gold_scores_of_both_responses() -> None:
    assert (
        list(kinds(RIGHT, FALSE))
        == list(kinds(FALSE, RIGHT))
        == [ALL, "one passes", "one passes, the other: false"]
    )
    assert list(kinds(RIGHT, replace(FALSE, reasons=()))) == [
        ALL,
        "one passes",
        "one passes, the other: form",
    ]
    assert list(kinds(RIGHT, replace(RIGHT, score=1.5))) == [ALL, "both pass"]
    assert list(kinds(FALSE, replace(FALSE, score=-1.6))) == [ALL, "both fail"]
    assert list(kinds(FALSE, FALSE)) == [ALL, "gold ties"]


def test_agreement_with_the_labelers_and_with_the_gold_score_is_counted() -> None:
    tally = Tally()
    tally.add((0.5, 0.1), (2.0, -1.2))  # all three agree
    tally.add((0.5, 0.1), (-1.2, 2.0))  # the labelers erred, and the model with them
    tally.add((0.1, 0.5), (-1.2, 2.0))  # the labelers erred, the model did not
    tally.add((0.3, 0.3), (1.0, 1.0))  # neither tells them apart
    assert (tally.pairs, tally.model, tally.gold) == (4, 2.5, 1.5)
    assert (tally.apart, tally.sign) == (3, 2.0)
    lines = table({ALL: tally, "gold ties": Tally(1, 0.5, 0.5)}).splitlines()
    assert lines[2] == "| all | 1.000 | 0.625 | 0.375 | 0.667 |"
    assert lines[3] == "| gold ties | 0.250 | 0.500 | 0.500 | – |"


@pytest.mark.parametrize(("better", "worse", "told"), [(1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 1.0, 0.5)])
def test_equal_scores_count_a_half(better: float, worse: float, told: float) -> None:
    tally = Tally()
    tally.add((better, worse), (1.0, 0.0))
    assert (tally.model, tally.sign) == (told, told)
