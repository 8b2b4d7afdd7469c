"""Memory saved by PPO's options, and their cost in time: `python -m benchmarks.memory`.

A Llama with random weights (`--layers`, `--width`), its reward model, prompts and documents are written to
a folder, and each option runs the stage `ppo` on them in a process of its own, with one parallel pass.
Memory is the peak of the process above its level after imports; time is the processor time of a step,
without the first.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import logging

from alignloop.checks.machine_memory import peak_memory
from alignloop.core import precision
from alignloop.core.models import new_policy, save_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import train_tokenizer
from alignloop.data.record_files import write
from alignloop.params.binding import bind
from alignloop.stages.ppo import ppo
from alignloop.training.checkpoints import Checkpoint
from alignloop.world.builder import make_world
from benchmarks.laboratory import load

LORA: dict[str, Any] = {"lora": {"rank": 8, "alpha": 16}}
ADAPTER: dict[str, Any] = {**LORA, "reference": "adapter"}
TRUNK: dict[str, Any] = {"value": "trunk", "value_coef": 0.1}
TWICE: dict[str, Any] = {"compute": {"gradient_checkpointing": True}}
BF16: dict[str, Any] = {"compute": {"precision": "bf16"}}
WAYS: dict[str, dict[str, Any]] = {
    "as in params.yaml: four models": {},
    "gradient checkpointing": TWICE,
    "bf16": BF16,
    "value head on the policy's trunk": TRUNK,
    "RLOO: no value model": {"advantages": "rloo", "responses_per_prompt": 2, "prompts_per_step": 8},
    "LoRA": LORA,
    "LoRA, reference its adapters off": ADAPTER,
    "both, and the value head on the trunk: two models": {**ADAPTER, **TRUNK},
    "all of it, gradient checkpointing, bf16": {
        **ADAPTER,
        **TRUNK,
        "compute": {**TWICE["compute"], **BF16["compute"]},
    },
}
SIZES: dict[str, Any] = {
    "threads": 1,
    "rounds": {round: {"start": "models/sft"} for round in ("r2", "r3")},  # `reference: adapter` needs these
    "decoding": {"max_new_tokens": 24},
    "ppo": {
        "steps": 3,
        "prompts_per_step": 16,
        "minibatches": 1,
        "warmup_steps": 0,
        "value_warmup_steps": 0,
        "ptx_documents_per_step": 4,
    },
}
SIZES["ppo"] |= {"guards": {}, "missing_eos_score": None}


def make(root: Path, layers: int, width: int) -> int:
    """Write the models and sets for all variants; returns the policy's number of weights."""
    plan = load({}).ingest.world.model_copy(update={"prompts": 400, "demonstrations": 40, "documents": 400})
    world = make_world(1, plan)
    write(root / "prompts" / "train.jsonl", world.prompts)
    write(root / "corpus" / "train.jsonl", world.documents)
    texts = [
        document.text or " ".join(message.content for message in document.messages or ())
        for document in world.documents
    ]
    tokenizer = train_tokenizer(texts, 2048)
    policy = new_policy(tokenizer, layers, width, heads=8, context=192, seed=1)
    save_policy(policy, tokenizer, root / "sft")
    RewardModel.from_policy(policy, 1).save(root / "reward", tokenizer)
    return sum(weight.numel() for weight in policy.parameters())


def run(root: Path, way: str) -> dict[str, float]:
    """Run three steps of a variant; returns peak memory in bytes and processor seconds per step."""
    logging.set_verbosity_error()
    options = dict(WAYS[way])
    params = load({**SIZES, "compute": options.pop("compute", {}), "ppo": {**SIZES["ppo"], **options}})
    torch.set_num_threads(params.threads)
    precision.use(params.compute.precision)
    import peft  # noqa: F401 - in all variants, so that its size is not measured

    before, moments = (peak_memory("cpu") or 0), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        sources = root / "sft", root / "reward", root / "sft", root / "prompts", root / "corpus"
        outs = out / "policy", out / "rollouts", out / "metrics.json", out / "curve.csv"
        for _ in bind(ppo, params)(Checkpoint.fresh(out, "ppo"), "r1", *sources, *outs):
            moments.append(time.process_time())
        return {
            "bytes": (peak_memory("cpu") or 0) - before,
            "seconds": (moments[-1] - moments[0]) / (len(moments) - 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.memory", description="What PPO's ways to save memory save, and cost."
    )
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(run(arguments.root, arguments.way)))
        return
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        weights = make(Path(folder), arguments.layers, arguments.width)
        print(f"{weights:,} weights, {4 * weights / 1e6:,.0f} MB\n")
        print("| PPO | peak | of the first | a step's CPU | of the first |\n|---|---:|---:|---:|---:|")
        first: dict[str, float] = {}
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.memory", "--way", way, "--root", folder]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found = json.loads(told.splitlines()[-1])
            first = first or found
            share = {name: found[name] / first[name] for name in found}
            print(f"| {way} | {found['bytes'] / 1e6:,.0f} MB | {share['bytes']:.2f} ", end="")
            print(f"| {found['seconds']:.1f} s | {share['seconds']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
