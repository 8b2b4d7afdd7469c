"""The bag of words learns which words are preferred, and nothing else."""

import numpy as np
import pytest

from alignloop.evaluation.word_baseline import WordBaselineError, fit_word_baseline
from alignloop.records import Message, Prompt, Ranking


def ranking(number: int, responses: tuple[str, ...], ranks: tuple[int, ...]) -> Ranking:
    asked = Prompt(
        id=f"p{number}", messages=(Message(role="user", content="?"),), user=f"u{number}", source="s"
    )
    return Ranking(
        id=f"r{number}",
        prompt=asked,
        responses=responses,
        ranks=ranks,
        labeler="l",
        kind="person",
        policy="p",
        round="imported",
    )


def preferring(count: int) -> list[Ranking]:
    """Kind words are preferred, rude ones are not, in either place; `tea` says nothing."""
    rows = []
    for n in range(count):
        pair = (f"Kind tea {'cup' * (n % 2)}", f"rude tea {'cup' * (n // 2 % 2)}")
        rows.append(ranking(n, pair[:: 1 if n % 3 else -1], (1, 2) if n % 3 else (2, 1)))
    return rows


def test_preferred_words_score_higher_and_common_ones_nothing() -> None:
    baseline = fit_word_baseline(preferring(40))
    kind, rude, tea, unknown = baseline.scores(["kind", "RUDE", "tea", "zebra"]).tolist()
    assert kind > 0.5 > -0.5 > rude
    assert kind == pytest.approx(-rude, abs=1e-3)
    assert (tea, unknown) == (0, 0)
    assert baseline.pairs == 40


def test_the_weights_are_where_the_gradient_of_the_penalised_likelihood_is_zero() -> None:
    rows = preferring(40)
    rows += [ranking(99, ("rude", "kind tea"), (1, 2))]  # one that disagrees
    baseline = fit_word_baseline(rows)
    counts = baseline.counter.transform([text for each in rows for text in each.responses]).toarray()
    signs = np.array([1 if each.ranks == (1, 2) else -1 for each in rows])
    gaps = (counts[::2] - counts[1::2]) * signs[:, None]
    chance = 1 / (1 + np.exp(-gaps @ baseline.weights))
    gradient = baseline.strength * gaps.T @ (1 - chance) - baseline.weights
    assert np.abs(gradient).max() < 1e-3
    assert np.abs(baseline.weights).max() > 0.1


def test_all_pairs_of_a_ranking_count_and_ties_do_not() -> None:
    rows = [ranking(n, ("a b", "a c", "d e"), (1, 2, 2)) for n in range(12)]
    assert fit_word_baseline(rows).pairs == 24


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (preferring(9), r"9 ordered pairs of 9 users are too few to fit on; pairs of 10 users"),
        ([ranking(n, ("a", "b"), (1, 1)) for n in range(20)], r"0 ordered pairs of 20 users"),
        ([ranking(n, ("…", "!"), (1, 2)) for n in range(20)], r"no word is in two of the responses"),
    ],
)
def test_too_little_to_fit_on_is_an_error(rows: list[Ranking], said: str) -> None:
    with pytest.raises(WordBaselineError, match=said):
        fit_word_baseline(rows)
