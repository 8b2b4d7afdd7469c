"""The report on a reward model by subset, by numbers worked by hand."""

import pytest
import torch

from alignloop.core.metrics import win_rate_of_outcomes
from alignloop.evaluation.reward_bench import LENGTH, MODEL, bench_report, render, ties_note

RANKS = [(1, 2), (2, 1), (1, 2), (1, 2, 2), (1, 1)]
SUBSETS = ["chat", "chat", "safety", "safety", "safety"]
SCORES = {
    MODEL: [torch.tensor(row) for row in ([2.0, 1.0], [0.0, 3.0], [1.0, 1.0], [5.0, 6.0, 4.0], [1.0, 2.0])],
    LENGTH: [torch.tensor(row) for row in ([9.0, 1.0], [7.0, 3.0], [1.0, 2.0], [9.0, 9.0, 9.0], [1.0, 2.0])],
}


def test_a_ranking_is_one_outcome_and_equal_scores_count_a_half() -> None:
    report = bench_report(SUBSETS, RANKS, SCORES)
    assert report["only_ties"] == 1  # the last: it has no order
    chat, safety, every = (report["subsets"][name] for name in ("chat", "safety", "all"))
    assert (chat["rankings"], chat["pairs"], safety["rankings"], safety["pairs"]) == (2, 2, 2, 3)
    assert chat["accuracy"][MODEL]["rate"] == 1.0
    assert chat["accuracy"][LENGTH]["rate"] == 0.5
    # ½ for equal scores; of three responses one pair is right, one wrong
    assert safety["accuracy"][MODEL] == {
        "rate": 0.5,
        "low": round(win_rate_of_outcomes([0.5, 0.5]).low, 6),
        "high": round(win_rate_of_outcomes([0.5, 0.5]).high, 6),
        "equal_pairs": 1,
    }
    assert safety["accuracy"][LENGTH] == {**safety["accuracy"][LENGTH], "rate": 0.25, "equal_pairs": 2}
    assert every["accuracy"][MODEL]["rate"] == 0.75
    assert report["mean_of_subsets"] == {MODEL: 0.75, LENGTH: 0.375}


def test_the_difference_to_a_baseline_has_the_interval_of_paired_outcomes() -> None:
    over = bench_report(SUBSETS, RANKS, SCORES)["subsets"]["all"]["over"][LENGTH]
    # outcomes 1, 1, ½, ½ against 1, 0, 0, ½: gaps 0, 1, ½, 0; mean ⅜, standard deviation √(11/48)
    half = 1.96 * (11 / 48) ** 0.5 / 2
    assert over["difference"] == 0.375
    assert (over["low"], over["high"]) == pytest.approx((0.375 - half, 0.375 + half), abs=1e-6)


def test_one_ranking_has_no_interval_of_a_difference_and_the_table_says_so() -> None:
    report = bench_report(["a|b"], [(1, 2)], {name: rows[:1] for name, rows in SCORES.items()})
    assert report["subsets"]["all"]["over"][LENGTH] == {"difference": 0.0, "low": None, "high": None}
    text = render(report)
    assert "0.000 [–, –]" in text
    assert "a\\|b" in text
    assert "mean of subsets" not in text


def test_the_table_has_a_line_for_each_subset_their_mean_and_what_ties() -> None:
    report = bench_report(SUBSETS, RANKS, SCORES)
    lines = render(report).splitlines()
    assert [line.split("|")[1].strip() for line in lines if "---" not in line] == [
        "subset",
        "chat",
        "safety",
        "all",
        "mean of subsets",
    ]
    assert ties_note(report) == (
        "equal scores count a half: 1 of the reward model, 2 of the longer response; "
        "rankings of ties alone, which are left out: 1"
    )
    assert render(bench_report(["a"], [(1, 1)], {MODEL: SCORES[MODEL][4:]})) == "no ordered pair"
