"""Cost of checkpoints in training stages of a finished run: `python -m benchmarks.checkpoints --run .`.

Each stage starts at the sizes of params.yaml, on the run's data and models, and writes a checkpoint after
every step. The share of a checkpoint is its median time divided by that of the steps between two
checkpoints (`checkpoint_every`), in wall time and in processor time, which other work on the machine hardly
changes. Prints a Markdown table; exits with 1 if a share of processor time is above 5 %.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from alignloop.core import parallel_passes
from alignloop.params import Params, load
from alignloop.params.binding import bind
from alignloop.progress import Progress
from alignloop.stages.ppo import ppo
from alignloop.stages.pretrain import pretrain
from alignloop.stages.reward import reward
from alignloop.stages.sft import sft
from alignloop.training.checkpoints import Checkpoint

MOST = 0.05
STEPS = {"pretrain": 40, "sft": 40, "reward": 20, "ppo": 10}


def now() -> Tensor:
    """Wall seconds, and processor seconds of this process."""
    return torch.tensor([time.perf_counter(), time.process_time()], dtype=torch.float64)


class Timed(Checkpoint):
    """A checkpoint after every step that records its time."""

    def __init__(self, root: Path, stage: str) -> None:
        super().__init__(root, stage, "watched", 1)
        self.took: list[Tensor] = []

    def save(self) -> None:
        began = now()
        super().save()
        self.wait()
        self.took.append(now() - began)

    def bytes(self) -> int:
        """The size of the newest checkpoint."""
        return sum(file.stat().st_size for file in max(self.folder.glob("[0-9]*")).iterdir())


def begin(stage: str, params: Params, run: Path, out: Path, checkpoint: Checkpoint) -> Iterator[Progress]:
    """Start the stage on the data and models of a finished run."""
    data, models = run / "data", run / "models"
    round = next(iter(params.rounds))
    numbers, curve = out / "numbers.json", out / "curve.csv"
    model = out / "model"
    if stage == "pretrain":
        return bind(pretrain, params)(checkpoint, data / "corpus", model, numbers, curve)
    if stage == "sft":
        return bind(sft, params)(
            checkpoint,
            models / "base",
            data / "demonstrations",
            data / "corpus",
            out=model,
            metrics=numbers,
            plots=curve,
        )
    if stage == "reward":
        inputs = (
            models / "sft",
            run / params.rounds[round].reward_start,
            data / "rankings" / round,
            data / "demonstrations",
        )
        return bind(reward, params)(checkpoint, round, *inputs, model, numbers, curve)
    inputs = (
        run / params.rounds[round].start,
        models / round / "reward",
        models / "sft",
        data / "prompts",
        data / "corpus",
    )
    return bind(ppo, params)(checkpoint, round, *inputs, model, out / "rollouts", numbers, curve)


def cost(stage: str, params: Params, run: Path, steps: int) -> tuple[Tensor, Tensor, int]:
    """Median times of a step without its checkpoint and of a checkpoint, and a checkpoint's bytes.

    Times are wall and processor seconds.

    The very first step, which warms up, is left out.
    """
    times: list[Tensor] = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Timed(Path(folder), stage)
        work = begin(stage, params, run, Path(folder), checkpoint)
        while next(work).step < 1:
            pass
        while len(times) < steps:
            began, before = now(), len(checkpoint.took)
            next(work)
            times.append(now() - began - sum(checkpoint.took[before:]))
        return (
            torch.stack(times).median(0).values,
            torch.stack(checkpoint.took[1:]).median(0).values,
            checkpoint.bytes(),
        )


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.checkpoints", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="the checkout of a finished run")
    parser.add_argument("--stages", nargs="+", choices=list(STEPS), default=list(STEPS))
    arguments = parser.parse_args()
    params = load(Path(__file__).parents[1] / "params.yaml")
    torch.set_num_threads(params.threads)
    torch.use_deterministic_algorithms(True)
    parallel_passes.use(params.parallel_passes)
    worst = 0.0
    print(
        "| stage | a step | its CPU | a checkpoint | its CPU | size | steps between two | share | share of "
        "CPU |\n|---" + "|---" * 8 + "|"
    )
    for stage in arguments.stages:
        every = params.checkpoint_every.model_dump()[stage]
        step, save, size = cost(stage, params, arguments.run.resolve(), STEPS[stage])
        share = (save / (step * every)).tolist()
        worst = max(worst, share[1])
        (wall, cpu), (saving, its_cpu) = step.tolist(), (save * 1000).tolist()
        print(
            f"| {stage} | {wall:.3f} s | {cpu:.3f} s | {saving:.0f} ms | {its_cpu:.0f} ms | "
            f"{size / 1e6:.1f} MB | {every} ",
            end="",
        )
        print(f"| {share[0]:.2%} | {share[1]:.2%} |", flush=True)
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
