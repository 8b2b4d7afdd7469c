"""How far a run is as a whole: which stage of how many, and about how long the rest takes.

Times are measured, never guessed: those of the same stage with the same parameters in an earlier run on this
machine, or those of another round's in this or an earlier run, or, for the default parameters, those of
another machine; what this run's first stages took corrects them. What was never measured is said to be
unknown.

`python -m tasks.run_position` keeps the times of this checkout's last run as the other machine's.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from hashlib import blake2b
from pathlib import Path
from typing import Any

from alignloop.files import WriteError, write_json
from alignloop.flatten import flatten
from alignloop.params import load
from alignloop.pipeline.dvc_pipeline import Stage

DURATIONS = Path(".cache", "stage-durations.json")
REFERENCE = Path(__file__).with_name("reference_durations.json")  # of the default run, on another machine
# the parameters that say how much there is to do, for stages that do not read them as well
AMOUNTS = ("threads", "ingest", "base", "pretrain", "decoding", "sample")
ENOUGH_SECONDS = 5.0  # of measured work, before this run's speed corrects what earlier runs took


class RunPosition:
    """The stages of a run in their order, which of them are to run, and what each took before."""

    def __init__(
        self,
        root: Path,
        stages: Mapping[str, Stage],
        order: Sequence[str],
        stale: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._clock = root / DURATIONS, clock
        self._order = list(order)
        self._left = [name for name in order if name in stale]
        self._marks = marks_of(root, [stages[name] for name in order])
        self._earlier, self._reference = read_durations(self._file), read_durations(REFERENCE)
        self._now: dict[str, float] = {}  # what stages took in this run
        self._since = clock()

    def begin(self, name: str) -> str:
        """What is said when a stage starts to run."""
        place = self._order.index(name) + 1 if name in self._order else len(self._order)
        left = self._time_left([name, *(other for other in self._left if other != name)])
        return f"stage {place} of {len(self._order)}: {name} · {left or 'time left: not known yet'}"

    def end(self, name: str, ran: bool) -> str:
        """Note that a stage has ended, and how long it took if it ran from its beginning; what is left."""
        seconds, self._since = self._clock() - self._since, self._clock()
        if name in self._left:
            self._left.remove(name)
        if ran and name in self._marks:
            self._now[name] = seconds
            _write(self._file, {**read_durations(self._file), name: [self._marks[name], round(seconds, 1)]})
        place = self._order.index(name) + 1 if name in self._order else len(self._order)
        left = self._time_left(self._left)
        return f"stage {place} of {len(self._order)}{f' · {left}' if left else ''}"

    def _time_left(self, names: Sequence[str]) -> str:
        """About how long these stages take, as people say it; "" where that of none is known."""
        known = [seconds for name in names if (seconds := self._expected(name)) is not None]
        words = "about" if len(known) == len(names) else "at least"
        said = f"{words} {spoken(sum(known))} left" if known else ""
        alien = not self._slowdown() and any(self._is_of_reference(name) for name in names)
        return f"{said}, by another machine's times" if said and alien else said

    def _expected(self, name: str) -> float | None:
        """How long a stage will take: as it did, or else as the same stage of another round did."""
        if (seconds := self._measured_earlier(name)) is not None:
            return seconds * (self._slowdown() or 1.0)
        others = [other for other in self._order if _group(other) == _group(name) and other != name]
        for other in reversed(others):
            if other in self._now:
                return self._now[other]
        for other in reversed(others):
            if (seconds := self._measured_earlier(other)) is not None:
                return seconds * (self._slowdown() or 1.0)
        return None

    def _measured_earlier(self, name: str) -> float | None:
        if name not in self._marks:
            return None
        for durations in (self._earlier, self._reference):
            mark, seconds = durations.get(name, (None, None))
            if mark == self._marks[name]:
                return seconds
        return None

    def _is_of_reference(self, name: str) -> bool:
        """Whether only another machine has done this stage's work."""
        mark, _ = self._earlier.get(name, (None, None))
        return self._measured_earlier(name) is not None and mark != self._marks[name]

    def _slowdown(self) -> float | None:
        """This run's times as a multiple of earlier ones; None while too little was measured."""
        both = [
            (now, before)
            for name, now in self._now.items()
            if (before := self._measured_earlier(name)) is not None
        ]
        if sum(before for _, before in both) < ENOUGH_SECONDS:
            return None
        return sum(now for now, _ in both) / sum(before for _, before in both)


RUN: ContextVar[RunPosition | None] = ContextVar("run", default=None)
"""The run that the tasks are part of; none where a task is called alone."""


def spoken(seconds: float) -> str:
    """A duration as people say it: "40 s", "9 min", "2 h 5 min"."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if hours < 10 else f"{round(seconds / 3600)} h"


def _group(name: str) -> str:
    return name.partition("@")[0]


def marks_of(root: Path, stages: Sequence[Stage]) -> dict[str, str]:
    """A hash of what a stage's work depends on: a time that was measured with other values says nothing."""
    values = flatten(load(root / "params.yaml").model_dump(by_alias=True, mode="json"))
    sources = (root / "data" / "sources").rglob("*")
    bytes = sum(file.stat().st_size for file in sources if file.is_file())
    marks = {}
    for stage in stages:
        keys = (*stage.params, *AMOUNTS)
        used = {
            key: value
            for key, value in values.items()
            if any(key == own or key.startswith(f"{own}.") for own in keys)
        }
        text = json.dumps([used, bytes], sort_keys=True)
        marks[stage.name] = blake2b(text.encode(), digest_size=8).hexdigest()
    return marks


def read_durations(file: Path) -> dict[str, Any]:
    """What was measured so far; a file that is missing or broken counts as nothing measured."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {name: pair for name, pair in pairs if isinstance(pair, list) and len(pair) == 2}


def _write(file: Path, durations: Mapping[str, Any]) -> None:
    try:
        write_json(file, durations)
    except WriteError:
        return  # only an estimate is lost: the stage itself says that the disk is full


if __name__ == "__main__":
    write_json(REFERENCE, read_durations(DURATIONS))
