"""The numbers of the operators' page, out of what the server counts by the hour."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from alignloop.labeling.served_history import HOUR, Sample
from alignloop.web.charts import Series
from alignloop.web.histograms import quantile

PERIODS = {1: 1, 7: 6, 30: 24}  # days that are shown: hours of a bar
APART = ("/metrics", "/health", "/static", "other")  # requests of programs and browsers, not of people
QUANTILES = {"median": 0.5, "p95": 0.95}
MILLISECONDS = 1000.0


@dataclass(frozen=True)
class Period:
    """Some days until now, in equal steps."""

    days: int
    starts: tuple[int, ...]
    step: int  # seconds

    @property
    def times(self) -> list[str]:
        """The beginning of each step, UTC."""
        form = "%H:%M" if self.days == 1 else "%d %b %H:%M"
        return [time.strftime(form, time.gmtime(start)) for start in self.starts]

    def place(self, moment: float) -> int:
        """The step that a time is in."""
        return int(moment - self.starts[0]) // self.step


def period_of(days: int, now: float) -> Period:
    """The period that ends with the hour of `now`."""
    step = PERIODS[days] * HOUR
    end = int(now) // HOUR * HOUR + HOUR
    return Period(days, tuple(range(end - days * 24 * HOUR, end, step)), step)


class Traffic:
    """What was counted in a period, by steps."""

    def __init__(self, samples: Iterable[Sample], period: Period) -> None:
        self.period = period
        self._by_name: dict[str, list[list[Sample]]] = defaultdict(lambda: [[] for _ in period.starts])
        for sample in samples:
            if 0 <= (place := period.place(sample.hour)) < len(period.starts):
                self._by_name[sample.name][place].append(sample)

    def requests(self) -> list[Series]:
        """Requests of people and programs: those that were served, refused (4xx), and failed (5xx)."""
        kinds = {"served": "123", "refused": "4", "failed": "5"}
        steps = [
            [each for each in step if not each.labels["route"].startswith(APART)]
            for step in self._by_name["alignloop_requests_total"]
        ]
        return [Series(name, [_sum(step, first) for step in steps]) for name, first in kinds.items()]

    def tokens_per_second(self) -> Series:
        """Tokens of responses, over the whole of each step."""
        steps = self._by_name["alignloop_tokens_total"]
        sums = [sum(each.value for each in step if each.labels["of"] == "response") for step in steps]
        return Series("tokens", [total / self.period.step for total in sums])

    def quantiles(self, name: str, scale: float = 1.0) -> list[Series]:
        """Median and 95th percentile of a histogram in each step."""
        steps = [self._buckets(step) for step in self._by_name[f"{name}_bucket"]]
        return [
            Series(words, [scaled(quantile(step, share), scale) for step in steps])
            for words, share in QUANTILES.items()
        ]

    def overall(self, name: str, scale: float = 1.0) -> dict[str, float | None]:
        """Median and 95th percentile of a histogram in the whole period."""
        buckets = self._buckets(each for step in self._by_name[f"{name}_bucket"] for each in step)
        return {words: scaled(quantile(buckets, share), scale) for words, share in QUANTILES.items()}

    def totals(self, name: str, labels: Sequence[str]) -> dict[tuple[str, ...], float]:
        """Sums of a counter in the whole period by some labels, the largest first."""
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for step in self._by_name[name]:
            for each in step:
                sums[tuple(each.labels[label] for label in labels)] += each.value
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))

    def _buckets(self, samples: Iterable[Sample]) -> Mapping[float, float]:
        sums: dict[float, float] = defaultdict(float)
        for each in samples:
            bound = each.labels["le"]
            sums[inf if bound == "+Inf" else float(bound)] += each.value
        return sums


def _sum(samples: Iterable[Sample], first: str) -> float:
    """Of requests whose status begins with one of these digits."""
    return sum(each.value for each in samples if each.labels["status"][0] in first)


def scaled(value: float | None, scale: float) -> float | None:
    """A value in other units, if there is one."""
    return None if value is None else value * scale
