"""Starts the ranks of a stage and ends them: to whoever started the stage, they are one process.

On this host the ranks are children in this process's group, which meet on the loopback interface. With
`compute.launch`, that prefix starts them (torchrun, srun, mpirun), on hosts that share the file system of the
checkout. Output is that of rank 0; signals and exit statuses are passed on.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.params.compute import Compute
from alignloop.pipeline.rank_files import ABORTED, BEAT_SECONDS, LAUNCHER, Beat, RankFolder, new_folder
from alignloop.pipeline.rank_watch import RankWatch
from alignloop.pipeline.stage_files import entries

RANK = "rank"  # `python -m alignloop rank FOLDER STAGE …` is one of the processes
UNWIND_SECONDS = 5.0  # for rank 0 to find out by itself that another rank is gone
GRACE_SECONDS = 10.0  # for rank 0 to close its MLflow run after SIGTERM
LOOK_SECONDS = 0.1
# (rank, world size) in the environment of a process, by what started it
PLACES = (
    ("RANK", "WORLD_SIZE"),  # torchrun, accelerate, and ourselves
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
)


class LaunchError(AlignloopError):
    """The ranks of a stage could not be started, or one of them failed."""


def runs_a_model(root: Path, stage: str) -> bool:
    """Whether dvc.yaml gives a stage of this function the processes to run on."""
    for entry in entries(root):
        words = shlex.split(entry.command)
        if words[3:4] == [stage] and "compute.processes" in entry.params:
            return True
    return False


def place_of(environment: Mapping[str, str]) -> tuple[int, int]:
    """This process's rank and the number of ranks. Raises LaunchError where nothing tells them."""
    for rank, size in PLACES:
        if rank in environment and size in environment:
            return int(environment[rank]), int(environment[size])
    raise LaunchError(
        f"what compute.launch starts knows no rank; expected one of {', '.join(rank for rank, _ in PLACES)} "
        "in its environment: use torchrun, srun or mpirun as the prefix"
    )


def check_size(size: int, compute: Compute) -> None:
    """Raise LaunchError unless there are as many ranks as params.yaml says."""
    if size != compute.processes:
        raise LaunchError(
            f"compute.launch starts {size} processes, and compute.processes is {compute.processes}: they "
            "must be the same number"
        )


def run(root: Path, stage: str, arguments: Sequence[str], compute: Compute, threads: int) -> int:
    """Run a stage on its ranks; returns the exit status. Raises LaunchError with a failing rank's words."""
    with new_folder(root) as folder:
        command = [sys.executable, "-m", "alignloop", RANK, str(folder.path), stage, *arguments]
        processes = _start(command, folder, compute, threads)
        watch = RankWatch(folder, compute.processes)
        try:
            status = _wait(processes, folder, compute.processes, watch.look)
        except LaunchError:
            _end(processes, UNWIND_SECONDS)
            raise
        except BaseException:
            _end(processes)
            raise
        if status == 0:
            _end(processes, GRACE_SECONDS)
            return 0
        folder.mark("failed")
        # what ended by itself, before this process ends the rest
        ended = {rank: code for rank, process in processes.items() if (code := process.poll()) is not None}
        _end(processes, UNWIND_SECONDS)
        own = folder.ends(compute.processes).get(0, 0 if compute.launch else ended.get(0, 0))
        if own > 0 and own != ABORTED:
            return own  # rank 0 has said it
        message = watch.failure(ended)
        if compute.launch and not message:
            message = f"compute.launch: '{compute.launch}' ended with status {status}"
        raise LaunchError(message.removeprefix(f"{stage}: ") or f"the ranks ended with status {status}")


def _start(
    command: Sequence[str], folder: RankFolder, compute: Compute, threads: int
) -> dict[int, subprocess.Popen[bytes]]:
    """The processes by rank; a prefix that starts the ranks is one process, as if it were rank 0."""
    known = {name for names in PLACES for name in names}
    env = {name: value for name, value in os.environ.items() if compute.launch or name not in known}
    env |= {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    if compute.launch:
        for name in PLACES[0]:
            env.pop(name, None)
        try:
            prefix = shlex.split(compute.launch)
            return {0: subprocess.Popen([*prefix, *command], stdin=subprocess.DEVNULL, env=env)}
        except (OSError, ValueError) as error:
            raise LaunchError(
                f"compute.launch: '{compute.launch}' cannot be started: {error}; correct it"
            ) from None
    env |= {"WORLD_SIZE": str(compute.processes), "GLOO_SOCKET_IFNAME": _loopback()}
    processes: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for rank in range(compute.processes):
            processes[rank] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env={**env, "RANK": str(rank)}
            )
    except BaseException:
        _end(processes)
        raise
    return processes


def _wait(
    processes: Mapping[int, subprocess.Popen[bytes]], folder: RankFolder, size: int, look: Callable[[], str]
) -> int:
    """Wait until rank 0 has ended or a rank has failed; returns its status. LaunchError: one hangs."""
    beats, next_beat = 0, 0.0
    while True:
        codes = {rank: process.poll() for rank, process in processes.items()}
        if codes[0] is not None:
            return codes[0]
        failed = [code for code in codes.values() if code]
        if failed or any(folder.ends(size).values()):
            with suppress(subprocess.TimeoutExpired):  # rank 0 may be about to say the same
                processes[0].wait(BEAT_SECONDS)
            return processes[0].poll() or ABORTED
        if time.monotonic() >= next_beat:
            beats, next_beat = beats + 1, time.monotonic() + BEAT_SECONDS
            folder.beat(LAUNCHER, Beat(beats, 0.0, "watches"))
            if fault := look():
                folder.mark("failed")
                raise LaunchError(fault)
        time.sleep(LOOK_SECONDS)


def _end(processes: Mapping[int, subprocess.Popen[bytes]], patience: float = 0.0) -> None:
    """End all processes: rank 0 may close what it has open, the others have nothing to close.

    Without `patience` rank 0 is interrupted at once. A second interruption would break off its closing.
    """
    leader, others = processes.get(0), [process for rank, process in processes.items() if rank]
    if leader and not patience:
        leader.send_signal(signal.SIGTERM)
    if leader and leader.poll() is not None:  # the others may be about to end as well
        deadline = time.monotonic() + patience
        for process in others:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    for process in others:
        process.kill()  # a collective of rank 0 ends with an error: only then does it see a signal
    if leader and patience:
        try:
            leader.wait(patience)
        except subprocess.TimeoutExpired:
            leader.send_signal(signal.SIGTERM)
    for process in processes.values():
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _loopback() -> str:
    return "lo" if sys.platform == "linux" else "lo0"
