"""A stage's progress: what it yields while it runs, and how that is printed, with speed and time left."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

EVERY_SECONDS = 2.0
SHOWN = 6  # metrics per line; the stage yields the most important ones first


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

    It reports the first step, the last of each part, and at most one line every few seconds between them.
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
            say(f"{name}  resumes after step {recalled.step:,} of {recalled.total:,}")
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
        done, passed = progress.step - start.step, now - origin
        line = f"{name}  {progress.step:,}/{progress.total:,}"
        if done and passed > 0:
            line += f" · {done / passed:.3g}/s"
            if left := progress.total - progress.step:
                line += f" · {duration(left * passed / done)} left"
        line = " · ".join(
            [line, *(f"{key} {value:.4g}" for key, value in list(progress.metrics.items())[:SHOWN])]
        )
        if now - printed_at >= EVERY_SECONDS:
            say(line)
            printed_at, unsaid = now, ""
        else:
            unsaid = line
        yield progress
    if recalled:
        say(f"{name}  all {recalled.total:,} steps were done before")
    if unsaid:
        say(unsaid)
    say(f"{name}  done in {duration(clock() - began)}")


def duration(seconds: float) -> str:
    """Seconds as people read them: 0:07, 12:30, 3:05:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
