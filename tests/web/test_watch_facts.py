"""The operators' numbers: quantiles as Prometheus has them, hours in their steps, and counts that survive."""

from math import inf
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from alignloop.labeling import served_history
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.served_history import HOUR, KEPT_DAYS, Sample
from alignloop.web.charts import Interval, Series, bars, lines, nice_top, shares
from alignloop.web.histograms import quantile
from alignloop.web.serving_history import ServingHistory
from alignloop.web.watch_facts import Traffic, period_of

NOW = 1_800_000_000.0  # 08:00 UTC


def test_quantiles_are_spread_evenly_within_their_bucket():
    buckets = {0.1: 2.0, 0.2: 6.0, 1.0: 10.0, inf: 10.0}
    assert quantile(buckets, 0.5) == pytest.approx(
        0.1 + 0.1 * 3 / 4
    )  # the 5th of 10: 3rd of 4 from 0.1 to 0.2
    assert quantile(buckets, 0.1) == pytest.approx(0.05)
    assert quantile({0.1: 0.0, inf: 3.0}, 0.5) == 0.1  # beyond the last bound
    assert quantile({0.1: 0.0, inf: 0.0}, 0.5) is None
    assert quantile({}, 0.5) is None


def test_hours_are_put_into_steps_and_what_is_outside_is_left_out():
    period = period_of(7, NOW)
    assert len(period.starts) == 28
    assert period.starts[-1] + period.step == NOW + HOUR
    labels = {"route": "/chat/prompts", "status": "200"}
    name = "alignloop_requests_total"

    def sample(hours_ago: int, value: float, **changes: str) -> Sample:
        return Sample(int(NOW) - hours_ago * HOUR, name, labels | changes, value)

    samples = [
        *(sample(0, 2.0), sample(5, 3.0), sample(6, 5.0), sample(0, 7.0, status="429")),
        *(sample(0, 1.0, status="500"), sample(0, 9.0, route="/metrics"), sample(24 * 8, 99.0)),
    ]
    traffic = Traffic(samples, period)
    assert {each.name: each.values[-2:] for each in traffic.requests()} == {
        "served": [5.0, 5.0],
        "refused": [0, 7.0],
        "failed": [0, 1.0],
    }
    assert traffic.totals(name, ("status",)) == {("200",): 19.0, ("429",): 7.0, ("500",): 1.0}


def test_what_is_counted_is_kept_once_over_restarts(database: LabelingDatabase):
    def count(hits: int) -> None:
        """A server that counts and ends."""
        registry = CollectorRegistry()
        counter = Counter("hits", "", ["rule"], registry=registry)
        seconds = Histogram("seconds", "", buckets=(1.0, 2.0), registry=registry)
        history = ServingHistory(registry, database)
        counter.labels("a=b").inc(hits)
        history.flush()
        history.flush()
        counter.labels("a=b").inc(1)
        seconds.observe(1.5)
        history.close()

    count(3)
    count(5)
    with database.reading() as session:
        found = {(each.name, *each.labels.values()): each.value for each in served_history.read(session, 0)}
    assert found == {
        ("hits_total", "a=b"): 10.0,
        ("seconds_bucket", "2.0"): 2.0,
        ("seconds_bucket", "+Inf"): 2.0,
        ("seconds_count",): 2.0,
        ("seconds_sum",): 3.0,
    }


def test_old_hours_are_forgotten(database: LabelingDatabase):
    hits: Any = [("hits", {}, 1.0)]
    served_history.add(database, NOW - (KEPT_DAYS * 24 + 1) * HOUR, hits)
    served_history.add(database, NOW, hits)
    with database.reading() as session:
        assert [each.hour for each in served_history.read(session, 0)] == [int(NOW)]


def test_charts_escape_names_and_draw_what_is_there():
    evil = Interval("<script>", 0.5, 0.25, 0.75)
    drawn = shares([evil, Interval("none", None, 0.0, 1.0)])
    assert "<script>" not in drawn
    assert drawn.count("<circle") == 1
    # from 8 to 348, so that a quarter is at 93 and three quarters at 263
    assert 'x1="93.0"' in drawn
    assert 'x2="263.0"' in drawn
    series = [Series("median", [None, 1.0, 2.0, None, 3.0])]
    assert lines(["a"] * 5, series).count('<line class="median"') == 1
    assert bars(["a", "b"], [Series("served", [0, 2.0]), Series("failed", [0, 1.0])]).count("<rect") == 2
    assert [nice_top(most) for most in (0, 0.3, 1, 1.2, 26, 99, 101)] == [1, 0.5, 1, 2, 50, 100, 200]
