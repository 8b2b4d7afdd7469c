"""A mixture draws from each domain its weight's share of the tokens, and says how often each is seen."""

from collections import Counter

import numpy as np

from alignloop.core.tokens import Encoded
from alignloop.training.mixture import DomainDraw, draw_rows

NAMES = {
    **{f"t{number}": "text" for number in range(8)},
    **{f"c{number}": "code" for number in range(2)},
    **{f"d{number}": "dialogue" for number in range(2)},
}


def rows(length: int = 10) -> list[Encoded]:
    return [Encoded([1] * length, [True] * length, name) for name in NAMES]


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_each_domain_gets_its_share_of_the_tokens_whatever_its_size():
    weights = {"text": 1.0, "code": 2.0, "dialogue": 1.0}
    found = draw_rows(rows(), NAMES, weights, 2.0, random())
    # two epochs of 12 rows of 10 tokens: 240 tokens, of which 60, 120 and 60
    assert found.domains == {
        "code": DomainDraw(2, 20, 120),
        "dialogue": DomainDraw(2, 20, 60),
        "text": DomainDraw(8, 80, 60),
    }
    assert found.domains["code"].as_dict()["epochs"] == 6.0
    assert found.domains["text"].as_dict()["epochs"] == 0.75
    assert (len(found.rows), found.epochs) == (24, 1.0)
    assert found.as_words().startswith("code: 120 tokens, 6.00 epochs of 2 documents; dialogue: ")


def test_no_row_comes_again_before_all_of_its_domain_have_come():
    found = draw_rows(rows(), NAMES, {"text": 3.0, "code": 1.0, "dialogue": 0.0}, 3.0, random())
    times = Counter(row.name for row in found.rows)
    assert {times[f"t{number}"] for number in range(8)} <= {3, 4}
    assert times["c0"] + times["c1"] == 9
    assert abs(times["c0"] - times["c1"]) == 1
    assert found.domains["dialogue"] == DomainDraw(2, 20, 0)
    assert found == draw_rows(rows(), NAMES, {"text": 3.0, "code": 1.0, "dialogue": 0.0}, 3.0, random())


def test_a_draw_exceeds_its_share_by_less_than_a_row():
    weights = {"text": 1.0, "code": 1.0, "dialogue": 1.0}
    found = draw_rows(rows(7), NAMES, weights, 1.0, random())
    assert [each.drawn_tokens for each in found.domains.values()] == [28, 28, 28]
    uneven = draw_rows(rows(7), NAMES, {**weights, "code": 2.0}, 1.0, random())
    for name, share in (("text", 21.0), ("code", 42.0), ("dialogue", 21.0)):
        assert 0 <= uneven.domains[name].drawn_tokens - share < 7


def test_without_a_mixture_the_rows_stay_as_they_are_and_stated_domains_are_counted():
    found = draw_rows(rows(), NAMES, None, 3.0, random())
    assert (found.rows, found.epochs) == (rows(), 3.0)
    assert {name: each.epochs for name, each in found.domains.items()} == dict.fromkeys(
        ("code", "dialogue", "text"), 3.0
    )
    assert draw_rows(rows(), {}, None, 3.0, random()).domains == {}
