"""One rank of a stage: `python -m alignloop rank FOLDER STAGE …`, started by `pipeline/launch.py`.

Rank 0 is the stage as it is in one process: lock, hashes, checkpoint, MLflow run, outputs, progress. The
others run the same stage function and write nothing that stays; they need no MLflow.
"""

import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from alignloop import params as parameters
from alignloop.determinism import make_deterministic
from alignloop.errors import AlignloopError
from alignloop.exit_status import exit_status
from alignloop.files import divert
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.params.compute import Compute
from alignloop.pipeline.launch import check_size, place_of
from alignloop.pipeline.rank_files import ABORTED, RankFolder, keep_beating
from alignloop.stage_arguments import parser_of

if TYPE_CHECKING:  # brings torch, before the beat could begin
    from alignloop.core.ranks import Ranks

POLL_SECONDS = 0.05


class Task(NamedTuple):
    """What rank 0 tells the others: title and name of the stage, fingerprint, whether it has checkpoints."""

    title: str
    stage: str
    fingerprint: str
    learns: bool


class Life:
    """What this rank does: what its place among the ranks says, once it has one."""

    def __init__(self) -> None:
        self.ranks: Ranks | None = None
        self._alone = "control"

    def activity(self) -> str:
        """`control`, `meets`, `passes` or `waits`."""
        return self.ranks.activity if self.ranks else self._alone

    def join(self, files: RankFolder, rank: int, compute: Compute) -> None:
        """Meet the other ranks; deal the passes among them, and shard models if params.yaml says so."""
        from alignloop.core import devices, parallel_passes, ranks, sharding

        self._alone = "meets"
        self.ranks = ranks.join(rank, compute.processes, files.meeting, in_turns=compute.shard != "none")
        parallel_passes.deal_among(self.ranks)
        devices.use_number(self.ranks.place_on_host)
        if compute.shard != "none":
            device = devices.find(compute.device).type
            devices.use_shards(sharding.Shards(self.ranks, compute.shard, device))


def main(arguments: Sequence[str]) -> int:
    """Run this rank of a stage, say how it ended, and return its exit status."""
    folder, name, *rest = arguments
    files, (rank, size) = RankFolder(Path(folder)), place_of(os.environ)
    if rank:
        _redirect(files.errors(rank))
    try:
        status = exit_status(name, lambda: _run(files, rank, size, name, rest))
    except Exception:
        traceback.print_exc()
        status = 1
    files.end(rank, status)  # after its message: the launcher reads it now
    return status


def _run(files: RankFolder, rank: int, size: int, name: str, arguments: Sequence[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher gets it too, and sends SIGTERM
    signal.signal(signal.SIGTERM, partial(_stop, files) if rank == 0 else signal.SIG_DFL)
    params = parameters.load(Path("params.yaml"))
    check_size(size, params.compute)
    life = Life()
    keep_beating(files, rank, life.activity)
    # imports take seconds: all ranks make theirs at the same time; MLflow is for rank 0 alone
    for module in (f"alignloop.stages.{name}", *(["alignloop.runner"] if rank == 0 else [])):
        importlib.import_module(module)
    try:
        life.join(files, rank, params.compute)
        if rank == 0:
            return _lead(files, name, arguments)
        divert(files.scratch(rank))
        follow(params, name, arguments)
        life.ranks = None  # it waits
        while not files.is_marked("finished"):  # a rank that leaves early may break what others still read
            time.sleep(POLL_SECONDS)
        return 0
    except KeyboardInterrupt:
        return 128 + signal.SIGTERM  # the launcher says what it was
    except Exception as error:
        lost = type(error).__name__ == "RankLost" or files.is_marked("failed")
        if lost and not isinstance(error, AlignloopError):  # another rank has the message
            return ABORTED
        if rank:
            _forget_warnings()
        raise


def _lead(files: RankFolder, name: str, arguments: Sequence[str]) -> int:
    """Run the stage as in one process."""
    from alignloop import runner
    from alignloop.core import parallel_passes

    def tell(*task: str | int) -> None:
        parallel_passes.agreed(task)

    return runner.run(name, arguments, tell, on_finished=lambda: files.mark("finished"))


def follow(params: Params, name: str, arguments: Sequence[str]) -> None:
    """Run a stage's function as rank 0 does, without anything around it."""
    from alignloop.core import parallel_passes
    from alignloop.training.checkpoints import Checkpoint

    function = getattr(importlib.import_module(f"alignloop.stages.{name}"), name)
    paths = vars(parser_of(name).parse_args(arguments))
    said: Any = parallel_passes.agreed(())  # only rank 0 knows
    task = Task(*said)
    make_deterministic(params, task.title)
    work = bind(function, params)
    if task.learns:  # rank 0 says when a checkpoint is due
        work = partial(work, checkpoint=Checkpoint(Path.cwd(), task.stage, task.fingerprint, every=None))
    for _ in work(**paths):
        pass


def _stop(files: RankFolder, number: int, frame: object) -> None:
    """Interrupt this rank, once: as failed where another rank has, else as terminated."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if files.is_marked("failed"):
        from alignloop.core.ranks import RankLost

        raise RankLost("another rank has failed")
    raise KeyboardInterrupt(number)


def _forget_warnings() -> None:
    """Leave only what comes now in this rank's errors."""
    sys.stderr.flush()
    os.truncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)


def _redirect(errors: Path) -> None:
    """Let only rank 0 speak; what this rank says of an error is shown if it is the first that fails."""
    sys.stdout.flush()
    with errors.open("wb") as file, Path(os.devnull).open("wb") as nothing:
        os.dup2(file.fileno(), 2)
        os.dup2(nothing.fileno(), 1)
