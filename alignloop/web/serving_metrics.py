"""What the server counts, for Prometheus: requests, latencies, tokens, the queue, and hits of rules."""

import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alignloop.labeling import escalations
from alignloop.labeling.database import LabelingDatabase
from alignloop.params.serving import Serving
from alignloop.release import online
from alignloop.rules.rule import Side
from alignloop.rules.rule_set import Decision
from alignloop.serving.generation import Piece
from alignloop.serving.model_pool import ModelPool
from alignloop.web.live_generation import Responses, WrappedResponses

FIRST_TOKEN = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30)  # seconds
WAITING = (0, 1, 2, 5, 10, 20, 50, 100, 200)  # responses
EACH_TOKEN = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
OF_RULES = (0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)


class ServingMetrics:
    """The numbers of one server."""

    def __init__(self, pool: ModelPool, database: LabelingDatabase, serving: Serving) -> None:
        self._pool = pool
        self.counted = CollectorRegistry()  # counters and histograms, which the history keeps
        self.registry = CollectorRegistry()  # what is read when it is asked for
        self.registry.register(_Load(pool, database))
        self.registry.register(_Opinions(pool, database, serving))
        self.waiting = Histogram(
            "alignloop_waiting",
            "Responses that waited when a request came.",
            buckets=WAITING,
            registry=self.counted,
        )
        self.requests = Counter(
            "alignloop_requests", "Requests by route and status.", ["route", "status"], registry=self.counted
        )
        self.first_token = Histogram(
            "alignloop_first_token_seconds",
            "From a request to the first token of its first response.",
            ["model"],
            buckets=FIRST_TOKEN,
            registry=self.counted,
        )
        self.each_token = Histogram(
            "alignloop_token_seconds",
            "Mean time of a further token, one observation for each request.",
            ["model"],
            buckets=EACH_TOKEN,
            registry=self.counted,
        )
        self.tokens = Counter(
            "alignloop_tokens", "Tokens of prompts and of responses.", ["model", "of"], registry=self.counted
        )
        self.calls = Counter(
            "alignloop_tool_calls",
            "Calls of tools by how they ended.",
            ["model", "outcome"],
            registry=self.counted,
        )
        self.hits = Counter(
            "alignloop_rule_hits",
            "Hits of rules, and what was done about the text.",
            ["rule", "side", "action"],
            registry=self.counted,
        )
        self.rules = Histogram(
            "alignloop_rules_seconds",
            "All rules on one text.",
            ["side"],
            buckets=OF_RULES,
            registry=self.counted,
        )

    def arrived(self) -> None:
        """Count the responses that a request finds waiting."""
        self.waiting.observe(self._pool.load()[1])

    @contextmanager
    def checking(self, side: Side) -> Iterator[None]:
        """Measure how long the rules take for a text."""
        with self.rules.labels(side).time():
            yield

    def decided(self, decision: Decision, side: Side) -> None:
        """Count the hits of a decision."""
        for rule in decision.hits:
            self.hits.labels(rule, side, decision.action).inc()


class _Load(Collector):
    def __init__(self, pool: ModelPool, database: LabelingDatabase) -> None:
        self._pool, self._database = pool, database

    def collect(self) -> Iterable[GaugeMetricFamily]:
        running, waiting = self._pool.load()
        yield GaugeMetricFamily("alignloop_responses_running", "Responses being generated.", value=running)
        yield GaugeMetricFamily("alignloop_responses_waiting", "Responses in the queue.", value=waiting)
        with self._database.reading() as session:
            count = escalations.count_open(session)
        yield GaugeMetricFamily(
            "alignloop_escalations_waiting", "Prompts that wait for a person.", value=count
        )


class _Opinions(Collector):
    """Thumbs by version, and the evidence that the champion's are worse than those of the one before."""

    def __init__(self, pool: ModelPool, database: LabelingDatabase, serving: Serving) -> None:
        self._pool, self._database = pool, database
        self._serving = serving

    def collect(self) -> Iterable[GaugeMetricFamily]:
        plan = self._serving
        found = online.look(self._database, self._pool.versions(), plan.model, plan.alarm_error)
        thumbs = GaugeMetricFamily("alignloop_thumbs", "Thumbs by version.", labels=["model", "thumb"])
        for each in found.rated:
            thumbs.add_metric([each.version.name, "up"], each.thumbs.misses)
            thumbs.add_metric([each.version.name, "down"], each.thumbs.hits)
        yield thumbs
        if found.rise:
            words = "Evidence that the champion gets more thumbs down than the one before."
            yield GaugeMetricFamily("alignloop_thumbs_down_evidence", words, value=found.rise.evidence)
            words = "The evidence that is an alarm."
            yield GaugeMetricFamily("alignloop_thumbs_down_alarm_from", words, value=1 / plan.alarm_error)


class MeasuredResponses(WrappedResponses):
    """Responses whose tokens and latencies are counted; `begun` is when the request came."""

    def __init__(self, live: Responses, metrics: ServingMetrics, begun: float) -> None:
        super().__init__(live)
        self._metrics, self._begun = metrics, begun

    async def pieces(self) -> AsyncIterator[list[Piece]]:
        """The pieces as they come."""
        model, first = self.version.name, 0.0
        self._metrics.tokens.labels(model, "prompt").inc(self.prompt_tokens)
        try:
            async for pieces in self._live.pieces():
                if not first:
                    first = time.monotonic()
                    self._metrics.first_token.labels(model).observe(first - self._begun)
                for piece in pieces:
                    if piece.news and piece.news.outcome:
                        self._metrics.calls.labels(model, piece.news.outcome).inc()
                yield pieces
        finally:
            drawn = self.drawn_tokens
            self._metrics.tokens.labels(model, "response").inc(drawn)
            if first and drawn > self.count:
                each = (time.monotonic() - first) * self.count / (drawn - self.count)
                self._metrics.each_token.labels(model).observe(each)


class CountRequests:
    """Counts requests by the route that they took and their status."""

    def __init__(self, app: ASGIApp, metrics: ServingMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self._metrics.requests.labels(route, message["status"]).inc()
            await send(message)

        await self._app(scope, receive, counted)
