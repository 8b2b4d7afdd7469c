"""The operators' page: requests, latencies, tokens, the queue, feedback, rules, escalations, versions."""

import time
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from starlette.exceptions import HTTPException

from alignloop.labeling import alarms, served_history
from alignloop.labeling.chat_activity import activity
from alignloop.lineage.drift import served
from alignloop.release import online
from alignloop.web import charts
from alignloop.web.api_routes import get_pool
from alignloop.web.auth import Reviewer, get_database
from alignloop.web.charts import Interval, Series
from alignloop.web.forms import QueryNumber
from alignloop.web.rendering import render_page
from alignloop.web.serving_history import ServingHistory
from alignloop.web.watch_facts import MILLISECONDS, PERIODS, Period, Traffic, period_of

router = APIRouter()


@dataclass(frozen=True)
class Figure:
    """A chart with its title, what it shows in words, and its numbers as a table."""

    title: str
    words: str
    chart: Markup
    times: list[str]
    series: list[Series]


@router.get("/watch")
def watch(request: Request, account: Reviewer, days: QueryNumber = 1) -> Response:
    """What is served, and what people think of it, in the last days."""
    if days not in PERIODS:
        raise HTTPException(404, "There is no such page.")
    database, pool = get_database(request), get_pool(request)
    history: ServingHistory = request.app.state.history
    history.flush()
    period = period_of(days, time.time())
    serving = request.app.state.serving
    found = online.look(database, pool.versions(), serving.model, serving.alarm_error)
    with database.reading() as session:
        traffic = Traffic(served_history.read(session, period.starts[0]), period)
        said = activity(session, period.starts[0])
        alarm = None
        if found.rise:
            names = found.rise.champion.version.name, found.rise.before.version.name
            alarm = alarms.known(session, *names)
    running, waiting = pool.load()
    return render_page(
        request,
        "watch.html",
        periods=list(PERIODS),
        days=days,
        figures=_figures(traffic, period),
        found=found,
        alarm=alarm,
        ratings=charts.shares([Interval(each.version.label, *_parts(each.down)) for each in found.rated]),
        wins=_wins(found),
        said=said,
        hits=traffic.totals("alignloop_rule_hits_total", ("rule", "side", "action")),
        load=(running, waiting),
        drift=served.last(Path.cwd()),
        number=charts.number,
    )


def _figures(traffic: Traffic, period: Period) -> list[Figure]:
    times = period.times
    requests, tokens = traffic.requests(), traffic.tokens_per_second()
    counts = {each.name: sum(value or 0 for value in each.values) for each in requests}
    words = ", ".join(f"{count:,.0f} {name}" for name, count in counts.items())
    busiest = charts.number(max(value or 0 for value in tokens.values))
    return [
        Figure("Requests", words, charts.bars(times, requests), times, requests),
        _latency(traffic, times, "First token, ms", "alignloop_first_token_seconds"),
        _latency(traffic, times, "Each further token, ms", "alignloop_token_seconds"),
        Figure("Tokens per second", f"at most {busiest}", charts.bars(times, [tokens]), times, [tokens]),
        _quantiles(traffic, times, "Waiting when a request came", "alignloop_waiting", 1.0),
    ]


def _latency(traffic: Traffic, times: list[str], title: str, name: str) -> Figure:
    return _quantiles(traffic, times, title, name, MILLISECONDS)


def _quantiles(traffic: Traffic, times: list[str], title: str, name: str, scale: float) -> Figure:
    series = traffic.quantiles(name, scale)
    found = traffic.overall(name, scale)
    words = ", ".join(f"{name} {charts.number(value)}" for name, value in found.items() if value is not None)
    return Figure(title, words or "none", charts.lines(times, series), times, series)


def _wins(found: online.Look) -> Markup | None:
    """The win rates of the candidate, with a line at one half."""
    if not found.online or not found.online.sentence:
        return None
    rows = {"by choices": found.online.by_choices, "by thumbs": found.online.by_thumbs}
    return charts.shares([Interval(name, *_parts(each)) for name, each in rows.items()], mark=0.5)


def _parts(estimate: online.Estimate) -> tuple[float | None, float, float]:
    return estimate.share, estimate.low, estimate.high
