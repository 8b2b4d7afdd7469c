"""PPO that collapses, and guards that stop it: `python -m benchmarks.collapse --run FINISHED_RUN`.

Repeats PPO of the first round without a KL penalty, without pretraining gradients and at ten times the
learning rate, with every guard of params.yaml set to stop. With `--healthy`, the values are those of
params.yaml, and no guard may be violated.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import logging

from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.stages.ppo import ppo
from alignloop.training.checkpoints import Checkpoint
from benchmarks.laboratory import load


def settings(healthy: bool) -> Params:
    """The values of params.yaml, or values that make a policy collapse; guards stop in both cases."""
    plain = load({})
    guards = {name: {"limit": guard.limit, "strength": "stop"} for name, guard in plain.ppo.guards.items()}
    worse: dict[str, Any] = {"kl": {"coef": 0.0}, "ptx_coef": 0.0, "warmup_steps": 0, "value_warmup_steps": 0}
    for name in ("learning_rate", "value_learning_rate"):
        worse[name] = 10 * getattr(plain.ppo, name)
    return load({"threads": 1, "ppo": {"guards": guards} if healthy else {"guards": guards, **worse}})


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.collapse", description="A policy that collapses, and what the guards say."
    )
    parser.add_argument(
        "--run", type=Path, required=True, help="a finished run: its world, SFT model and first reward model"
    )
    parser.add_argument("--healthy", action="store_true", help="the numbers of params.yaml instead")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    params = settings(arguments.healthy)
    torch.set_num_threads(params.threads)
    began, processor = time.monotonic(), time.process_time()
    print("| step | score | KL | entropy | distinct-2 | ended |\n|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as temporary:
        root, sft = Path(temporary), arguments.run / "models/sft"
        sources = (
            sft,
            arguments.run / "models/r1/reward",
            sft,
            arguments.run / "data/prompts",
            arguments.run / "data/corpus",
        )
        outs = root / "policy", root / "rollouts", root / "metrics.json", root / "curve.csv"
        messages = ""
        for progress in bind(ppo, params)(Checkpoint.fresh(root, "ppo"), "r1", *sources, *outs):
            numbers = [progress.metrics[name] for name in ("score", "kl", "entropy", "distinct_2", "ended")]
            print(
                f"| {progress.step} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |", flush=True
            )
            messages = progress.note or messages
    print("\n" + (messages.replace("; stop: ", "\nstop: ") or "No guard was violated."))
    print(f"{time.monotonic() - began:.0f} s, {time.process_time() - processor:.0f} s of processor time")


if __name__ == "__main__":
    main()
