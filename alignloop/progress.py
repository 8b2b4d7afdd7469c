"""A stage's progress: what it yields while it runs, and how that is printed, with speed and time left."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

FIRST_GAP_SECONDS, LAST_GAP_SECONDS = 10.0, 600.0  # between two lines
LONGER = 0.5  # a gap's share of the time since the first line: lines become rarer
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
) -> Iterator[Progress]:
    """Pass `work` on and report how far it is.

    It reports the first step, the last of each part, and between them a line at growing distances.
    """
    began = origin = clock()
    printed_at, unsaid = float("-inf"), ""
    start = recalled = None
    for progress in work:
        if progress.recalled:
            recalled = progress
            yield progress
            continue
        now = clock()
        if recalled:
            say(f"{name}  {RESUMES} {recalled.step:,} of {recalled.total:,}")
            recalled = None
        begins = start is None or progress.step <= start.step or progress.total != start.total
        if begins and unsaid:
            say(unsaid)  # the last of the part before
            unsaid = ""
        if progress.note:
            say(f"{name}  {progress.note}")
        if start is None or begins:
            # the first step, or the first of the next part: a resumed stage does not start at 1
            origin, start = now, progress
        line = _line(name, progress, progress.step - start.step, now - origin)
        if now - printed_at >= min(max(FIRST_GAP_SECONDS, LONGER * (now - origin)), LAST_GAP_SECONDS):
            say(line)
            printed_at, unsaid = now, ""
        else:
            unsaid = line
        yield progress
    if recalled:
        say(f"{name}  {RESUMES} {recalled.total:,}, the last")
    took = f"done in {duration(clock() - began)}"
    say(f"{unsaid} · {took}" if unsaid else f"{name}  {took}")


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
