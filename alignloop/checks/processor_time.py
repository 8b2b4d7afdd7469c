"""Processor time: what some work took of it, and how long it waited for a processor that others had."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

THREADS = Path("/proc/self/task")  # on Linux; elsewhere nobody says how long a thread waited
NANOSECONDS = 1e9
UNDISTURBED = 0.1  # of the time in which threads could run: so much waiting there always is
BUSY = 1.3  # times as long by the clock as on idle cores, from which that is said


@dataclass(frozen=True)
class Spent:
    """Seconds of some work: by the clock, of processors, and by the clock if no other process had run."""

    wall: float
    cpu: float
    idle: float


def spent(work: Callable[[], object]) -> Spent:
    """Do the work, and say what it took.

    Where its threads waited for processors that others had, it would on idle cores take as long as the thread
    that ran longest: the others ran beside it, and wait for each other only as long as they all run.
    """
    before = _threads()
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    times = [
        (ran - before.get(thread, (0.0, 0.0))[0], waited - before.get(thread, (0.0, 0.0))[1])
        for thread, (ran, waited) in _threads().items()
    ]
    ran, waited = (sum(each) for each in zip(*times, strict=True)) if times else (0.0, 0.0)
    if waited <= UNDISTURBED * (ran + waited):
        return Spent(wall, cpu, wall)
    return Spent(wall, cpu, min(wall, max(running for running, _ in times)))


def _threads() -> Mapping[str, tuple[float, float]]:
    """Seconds that each thread of this process ran, and waited while it could have run."""
    found: dict[str, tuple[float, float]] = {}
    for folder in THREADS.iterdir() if THREADS.is_dir() else ():
        with suppress(OSError, ValueError):  # the thread has ended, or the kernel does not count
            ran, waited, _ = (folder / "schedstat").read_text(encoding="ascii").split()
            found[folder.name] = (int(ran) / NANOSECONDS, int(waited) / NANOSECONDS)
    return found
