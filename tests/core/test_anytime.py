"""Intervals and evidence that hold at every look: hand-worked values, and error rates over all looks."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from alignloop.core.anytime import Counted, _log_ratio, evidence_of_rise, share_interval

COUNTS = st.integers(0, 400)


def test_the_interval_of_no_hit_in_n_ends_where_the_ratio_says():
    # B(1, n + 1) = 1 / (n + 1), so that the end is 1 − (error / (n + 1))^(1/n)
    assert share_interval(Counted(0, 1), 0.05) == pytest.approx((0.0, 0.975))
    assert share_interval(Counted(0, 9), 0.05) == pytest.approx((0.0, 1 - 0.005 ** (1 / 9)))
    assert share_interval(Counted(9, 0), 0.05) == pytest.approx((0.005 ** (1 / 9), 1.0))
    assert share_interval(Counted(0, 0), 0.05) == (0.0, 1.0)


@given(hits=COUNTS, misses=COUNTS)
def test_an_interval_holds_the_share_and_mirrors(hits: int, misses: int):
    low, high = share_interval(Counted(hits, misses), 0.05)
    assert share_interval(Counted(misses, hits), 0.05) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    if hits + misses:
        assert low <= hits / (hits + misses) <= high
    wider = share_interval(Counted(hits, misses), 0.01)
    assert wider[0] <= low <= high <= wider[1]


def test_the_evidence_of_one_good_and_one_bad_thumb_is_nine_quarters():
    # before: (1/p) ∫₀ᵖ (1 − q) dq / (1 − p) = (2 − p) / (2 (1 − p)); now, mirrored: (1 + p) / (2p);
    # their product (2 + s) / (4s) with s = p (1 − p) is least at p = ½: 9/4
    assert evidence_of_rise(Counted(0, 1), Counted(1, 0)) == pytest.approx(9 / 4)
    assert evidence_of_rise(Counted(0, 0), Counted(0, 0)) == pytest.approx(1)
    # nothing before: p may be 1, where no share is above
    assert evidence_of_rise(Counted(0, 0), Counted(50, 0)) == pytest.approx(1)


@pytest.mark.parametrize("p", [0.02, 0.3, 0.9])
@pytest.mark.parametrize(("hits", "misses"), [(3, 40), (17.5, 2.5)])
def test_the_ratio_is_the_integral(p: float, hits: float, misses: float):
    whole, _ = quad(lambda q: exp(hits * log(q / p) + misses * log((1 - q) / (1 - p))), 0, p)
    assert exp(_log_ratio(hits, misses, np.array([p]))[0]) == pytest.approx(whole / p, rel=1e-6)


def test_where_floats_end_the_evidence_is_less_and_not_more():
    # ∫ is (1 − p) / (hits + 1) · (1 + positive terms)
    values = _log_ratio(9_000, 1_000, np.array([0.4, 0.7, 0.9]))
    assert np.all(values >= np.log([0.6, 0.3, 0.1]) - log(9_001))
    assert evidence_of_rise(Counted(100, 9_900), Counted(9_900, 100)) == float("inf")
    assert evidence_of_rise(Counted(9_900, 100), Counted(100, 9_900)) < 1e-3


@given(hits=COUNTS, misses=COUNTS, more=st.integers(1, 50))
def test_more_bad_thumbs_are_more_evidence_and_more_before_are_less(hits: int, misses: int, more: int):
    before = Counted(20, 80)
    now = evidence_of_rise(before, Counted(hits, misses))
    assert evidence_of_rise(before, Counted(hits + more, misses)) >= 0.999 * min(now, 1)
    if hits / max(hits + misses, 1) > 0.25:
        assert evidence_of_rise(before, Counted(hits + more, misses)) >= now * (1 - 1e-9)


def alarms(old: float, new: float, error: float, *, before: int, people: int, runs: int) -> float:
    """The share of runs in which the evidence reaches 1 / error at any of the looks, one after each thumb."""
    random = np.random.default_rng(1)
    count = 0
    for _ in range(runs):
        bad = random.binomial(before, old)
        downs = (random.random(people) < new).cumsum()
        for seen, hits in enumerate(downs, start=1):
            if evidence_of_rise(Counted(bad, before - bad), Counted(hits, seen - hits)) >= 1 / error:
                count += 1
                break
    return count / runs


@pytest.mark.parametrize(("old", "new"), [(0.1, 0.1), (0.5, 0.5)])
def test_over_all_looks_false_alarms_are_fewer_than_stated(old: float, new: float):
    runs = 40
    # at most 0.2, and more than 12 of 40 then come by chance in fewer than 1 of 20 tests
    assert alarms(old, new, 0.2, before=60, people=60, runs=runs) <= 12 / runs


def test_a_rise_is_found():
    assert alarms(0.1, 0.5, 0.01, before=100, people=60, runs=20) == 1


def test_the_interval_fails_less_often_than_stated_over_all_looks():
    random, failures = np.random.default_rng(2), 0
    for _ in range(60):
        ups = (random.random(100) < 0.3).cumsum()
        looks = [Counted(ups[seen - 1], seen - ups[seen - 1]) for seen in range(1, 101, 3)]
        failures += any(not low <= 0.3 <= high for low, high in (share_interval(each, 0.1) for each in looks))
    assert failures <= 10  # at most 6 are expected; more than 10 come by chance in 1 of 30 tests
