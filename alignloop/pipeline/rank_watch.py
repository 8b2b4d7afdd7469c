"""Watches the ranks of a stage for one that has ended too early, or that hangs.

A rank hangs when it no longer beats (a stopped process, a lost host), or when it should compute and its CPU
time stands still (a deadlock, a file system that is gone). Waiting for another rank is no hanging, however
long the other one works; neither is what rank 0 does by itself between passes: hashing, uploads to MLflow,
saving. Ranks that all try to meet, and do not, cannot reach each other. A rank that computes without an end
is not told from one that computes for long: the time limit of the stage's task is for that. Time is counted
in looks at the ranks, so that a suspended machine loses nobody.
"""

import signal
from dataclasses import dataclass

from alignloop.pipeline.rank_files import ABORTED, Beat, RankFolder

HANG_SECONDS = 40
STAYS = "what was finished stays, and trainings resume from their last checkpoint"
MOVED_SECONDS = 0.01  # of CPU time: fewer are none


@dataclass
class _Watched:
    beat: Beat | None = None  # the last one that was new
    moved: float = 0.0  # CPU time when it last moved
    silent: int = 0  # looks since
    still: int = 0


class RankWatch:
    """The ranks of one run; `look` is called once a second."""

    def __init__(self, folder: RankFolder, size: int) -> None:
        self._folder, self._size = folder, size
        self._ranks = {rank: _Watched() for rank in range(size)}
        self._meeting = 0  # looks since all ranks have been trying to meet

    def look(self) -> str:
        """What is wrong with a rank that hangs; nothing if none does."""
        silent, still = [], []
        for rank, known in self._ranks.items():
            beat = self._folder.last_beat(rank)
            if beat is None:  # it has not begun to beat: the launcher sees its process
                continue
            known.silent = known.silent + 1 if beat == known.beat else 0
            moves = beat.cpu_seconds - known.moved > MOVED_SECONDS
            rests = beat.activity in ("waits", "meets") or (rank == 0 and beat.activity == "control")
            if known.beat is None or moves or rests:
                known.moved, known.still = beat.cpu_seconds, 0
            else:
                known.still += 1
            known.beat = beat
            if known.silent >= HANG_SECONDS:
                silent.append(rank)
            elif known.still >= HANG_SECONDS:
                still.append(rank)
        meets = all(known.beat and known.beat.activity == "meets" for known in self._ranks.values())
        self._meeting = self._meeting + 1 if meets else 0
        if self._meeting > HANG_SECONDS:
            return (
                f"the {self._size} processes run, and have not reached each other for {HANG_SECONDS} s; let "
                "the hosts reach each other: name the network interface that they share in "
                "GLOO_SOCKET_IFNAME (and NCCL_SOCKET_IFNAME), open the ports between them, and run again"
            )
        if silent or still:
            did = "gave no sign of life" if silent else "did nothing"
            return (
                f"{self._names(silent or still)} {did} for {HANG_SECONDS} s, so the stage was ended; look "
                f"at its host and run again: {STAYS}"
            )
        return ""

    def failure(self, ended: dict[int, int]) -> str:
        """The message for ranks that have ended with these statuses, in the failing rank's own words."""
        said = self._folder.ends(self._size)
        for rank, status in sorted({**ended, **said}.items()):
            if status in (0, ABORTED) or rank == 0:
                continue  # rank 0 speaks for itself
            if rank in said and (words := self._words(rank)):
                return words
        killed = sorted(rank for rank, status in ended.items() if status < 0 and rank not in said)
        if killed:
            name = signal.Signals(-ended[killed[0]]).name
            return (
                f"{self._names(killed)} was ended by {name}, perhaps because memory ran out; run "
                f"again: {STAYS}"
            )
        lost = sorted(rank for rank, status in ended.items() if status and rank not in said)
        if lost:
            words = self._words(lost[0])
            return f"{self._names(lost)} ended with status {ended[lost[0]]}" + (
                f":\n{words}" if words else ""
            )
        return ""

    def _words(self, rank: int) -> str:
        try:
            return self._folder.errors(rank).read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return ""

    def _names(self, ranks: list[int]) -> str:
        words = " and ".join(map(str, ranks))
        return f"rank{'s' if len(ranks) > 1 else ''} {words} of {self._size}"
