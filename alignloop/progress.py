"""A stage's progress: what it yields while it runs, and how that is printed, with speed and time left."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TypeVar

from alignloop import phases

T = TypeVar("T")

FIRST_GAP_SECONDS, LAST_GAP_SECONDS = 10.0, 600.0  # between two lines
LONGER = 0.5  # a gap's share of the time since the first line: lines become rarer
SILENT_SECONDS = 5.0  # without a step, after which the open phase is printed
LATE = 3.0  # times the usual step, after which the phases within it are printed
RESUMES = "resumes after step"
WIDTH = 85  # a line takes the metrics that fit; the stage yields the most important ones first


@dataclass(frozen=True)
class Progress:
    """`step` of `total` is done; `metrics` are its numbers and `note` is printed at once.

    `recalled` marks a step that an earlier, interrupted run did.
    """

    step: int
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    recalled: bool = False


def paced(
    work: Iterator[Progress],
    name: str,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    look_every: float | None = None,
) -> Iterator[Progress]:
    """Pass `work` on and report how far it is.

    It reports the first step, the last of each part, and between them a line at growing distances. Every
    `look_every` seconds a thread looks whether `work` is silent, and then reports its phase.
    """
    lines = Lines(name, say, clock)
    over = Event()
    if look_every is not None:
        Thread(target=_look, args=(lines, over, look_every), name="progress", daemon=True).start()
    try:
        for progress in work:
            lines.report(progress)
            yield progress
        lines.end()
    finally:
        over.set()


def spoken(
    sizes: Mapping[T, int], work: str, *, name: str, say: Callable[[str], None], look_every: float = 1.0
) -> Iterator[T]:
    """Pass these parts on, each of so many bytes, as the phase `work`, `watched`."""
    with watched(name, say, look_every):
        yield from phases.sized(work, sizes)


@contextmanager
def watched(name: str, say: Callable[[str], None], look_every: float = 1.0) -> Iterator[None]:
    """Report the open phase of what is done inside the block, outside of `paced`, where it takes long."""
    over = Event()

    def look() -> None:
        lines = outermost = None
        while not over.wait(look_every):
            opened = phases.open_phases()
            if opened and opened[0] is not outermost:
                lines, outermost = Lines(name, say, time.monotonic), opened[0]
            if opened and lines:
                lines.look()

    Thread(target=look, name="progress", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _look(lines: "Lines", over: Event, every: float) -> None:
    while not over.wait(every):
        lines.look()


class Lines:
    """Prints the progress of one stage called `name`: its steps, and its phases where no step comes."""

    def __init__(self, name: str, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._name, self._say = name, say
        self._clock = clock
        self._began = self._origin = clock()
        self._printed_at, self._unsaid = float("-inf"), ""
        self._start: Progress | None = None  # the first step of this part
        self._recalled: Progress | None = None
        self._silent_since = self._began
        self._usual_seconds = 0.0  # that the last step took; 0 where the next one is of another kind
        self._looked_at = float("-inf")
        self._lock = Lock()

    def report(self, progress: Progress) -> None:
        """A step is done."""
        with self._lock:
            self._report(progress)

    def _report(self, progress: Progress) -> None:
        if progress.recalled:
            self._recalled = progress
            return
        now = self._clock()
        if self._recalled:
            self._say(f"{self._name}  {RESUMES} {self._recalled.step:,} of {self._recalled.total:,}")
            self._recalled = None
        start = self._start
        begins = start is None or progress.step <= start.step or progress.total != start.total
        if begins and self._unsaid:
            self._say(self._unsaid)  # the last of the part before
            self._unsaid = ""
        if progress.note:
            self._say(f"{self._name}  {progress.note}")
        if start is None or begins:
            # the first step, or the first of the next part: a resumed stage does not start at 1
            self._origin, start = now, progress
        self._usual_seconds = 0.0 if progress.step == progress.total else now - self._silent_since
        self._start, self._silent_since = start, now
        line = _line(self._name, progress, progress.step - start.step, now - self._origin)
        if now - self._printed_at >= min(
            max(FIRST_GAP_SECONDS, LONGER * (now - self._origin)), LAST_GAP_SECONDS
        ):
            self._say(line)
            self._printed_at, self._unsaid = now, ""
        else:
            self._unsaid = line

    def look(self) -> None:
        """Print the open phase if no step has come for longer than usual."""
        opened = phases.open_phases()
        with self._lock:
            now = self._clock()
            silent = now - self._silent_since
            if not opened or silent < max(SILENT_SECONDS, LATE * self._usual_seconds):
                return
            if now - self._looked_at < min(max(FIRST_GAP_SECONDS, LONGER * silent), LAST_GAP_SECONDS):
                return
            if self._unsaid:
                self._say(self._unsaid)
                self._unsaid = ""
            self._say(f"{self._name}  {describe(opened, time.monotonic())}")
            self._looked_at = now

    def end(self) -> None:
        """The stage is done."""
        with self._lock:
            if self._recalled:
                self._say(f"{self._name}  {RESUMES} {self._recalled.total:,}, the last")
            took = f"done in {duration(self._clock() - self._began)}"
            self._say(f"{self._unsaid} · {took}" if self._unsaid else f"{self._name}  {took}")


def describe(opened: Sequence[phases.Phase], now: float) -> str:
    """What the open phases are, how far the innermost with a total is, and when that ends."""
    text = ": ".join(phase.title for phase in opened)
    known = next((phase for phase in reversed(opened) if phase.total), None)
    if known is None or known.total is None:
        return f"{text} · {duration(now - opened[-1].began)} so far"
    done, total = known.done, known.total
    if known.in_bytes:
        text += f" · {format_size(done)} of {format_size(total)}"
    else:
        text += f" · {done:,}/{total:,}"
    if not known.done:
        return f"{text} · {duration(now - known.began)} so far"
    left = (now - known.began) / known.done * (known.total - known.done)
    return f"{text} · {duration(left)} left"


def shares_of_time(took: Mapping[str, float], whole: float) -> str:
    """What part of the `whole` seconds each phase took, the longest first; those below 1% are in the rest."""
    shares = sorted(((seconds / whole, name) for name, seconds in took.items()), reverse=True)
    shown = [(share, name) for share, name in shares if share >= 0.01]
    rest = 1 - sum(share for share, _ in shown)
    return ", ".join(f"{name} {share:.0%}" for share, name in [*shown, (rest, "rest")])


def _line(name: str, progress: Progress, done: int, seconds: float) -> str:
    """How far a part is, `done` steps in these seconds, and as many metrics as fit."""
    line = f"{name}  {progress.step:,}/{progress.total:,}"
    if done and seconds > 0:
        rate = done / seconds
        line += f" · {readable(rate)}/s" if rate >= 1 else f" · {readable(1 / rate)} s each"
        if left := progress.total - progress.step:
            line += f" · {duration(left / rate)} left"
    for key, value in progress.metrics.items():
        words = f" · {key.rpartition('/')[2].replace('_', ' ')} {readable(value)}"
        if len(line) + len(words) > WIDTH:
            break
        line += words
    return line


def readable(value: float) -> str:
    """A number as people write it, with about three digits: 31,415, 0.0123, 3e-7."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 100 or value == int(value):
        return f"{round(value):,}"
    if abs(value) < 1e-4:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{float(digits):g}e{int(power)}"
    return f"{float(f'{value:.3g}'):f}".rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Seconds as people read them: 0:07, 12:30, 3:05:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_size(bytes: float) -> str:
    """Return bytes as text: 1.2 GB."""
    for unit in ("B", "kB", "MB"):
        if bytes < 1000:
            return f"{bytes:.0f} {unit}" if unit == "B" else f"{bytes:.1f} {unit}"
        bytes /= 1000
    return f"{bytes:.1f} GB"
