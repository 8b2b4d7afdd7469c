"""A stage in the place of `sft`, for tests of several processes: it counts, or fails in a given way."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from alignloop.core import parallel_passes
from alignloop.core.train_state import State
from alignloop.errors import AlignloopError
from alignloop.files import replacing
from alignloop.params.section import Seed
from alignloop.progress import Progress
from alignloop.training.checkpoints import Checkpoint

STEPS = 8


class Tally:
    """A sum of squares, in a tensor."""

    def __init__(self) -> None:
        self.step, self.total = 0, torch.zeros(1, dtype=torch.float64)

    def state(self) -> State:
        return {"step": self.step, "total": self.total}

    def restore(self, state: State) -> None:
        self.step, self.total = state["step"], state["total"]


def sft(seed: Seed, checkpoint: Checkpoint, mode: str, out: Path) -> Iterator[Progress]:
    """Count; rank 1 does what the mode says in the third step."""
    tally, lines = Tally(), checkpoint.journal("lines")
    checkpoint.hold(tally=tally)
    ranks = parallel_passes.ranks()
    size = ranks.size if ranks else 1
    while tally.step < STEPS:
        tally.step += 1
        if tally.step == 3 and ranks and ranks.rank == 1:
            _act(mode)
        squares = list(parallel_passes.in_parallel(lambda part: part * part, [tally.step, 1, 2]))
        tally.total = tally.total + torch.tensor(squares).sum()
        lines.add(f"{tally.step}")
        print("step", tally.step, flush=True)
        yield Progress(tally.step, STEPS, {"total": float(tally.total)})
        checkpoint.after(tally.step, last=tally.step == STEPS)
        time.sleep(0.3 if mode == "slowly" else 0)
    with replacing(out) as part:
        part.write_text(f"seed {seed}, total {float(tally.total)} of {size}, lines {' '.join(lines)}\n")


def _act(mode: str) -> None:
    if {"mlflow", "prefect"} & set(sys.modules):
        raise AlignloopError("MLflow and Prefect are for rank 0 alone")
    print("a warning", file=sys.stderr)
    if mode == "refuses":
        raise AlignloopError("data/x.jsonl:3: broken; mend it")
    if mode == "breaks":
        raise ZeroDivisionError("a bug")
    if mode == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "stops":
        os.kill(os.getpid(), signal.SIGSTOP)
    if mode == "sleeps":
        time.sleep(600)
