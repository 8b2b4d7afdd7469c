"""PPO here and in TRL 1.0.0, the last release that has it: response tokens per second, side by side.

    python -m venv peer && peer/bin/pip install torch==2.13.0 trl==1.0.0
    python -m benchmarks.peers peer/bin/python
    python -m benchmarks.peers --shapes 2x128       # ours alone, and where its time goes

Both run in turn, on the same model, prompts, batch and threads: one update a step on 128 responses (8 × 384:
64, a checkpoint: 16), four models of one size (policy, reference, scores, values), prompts of 16 tokens,
responses of up to 48, fp32 (`--precision bf16`: both compute in bf16, and what learns stays fp32). Ours works
as many passes at a time as there are threads (`--passes 1`: one, whose operators share the threads, as
configs/laptop.yaml does). The first step of each process, which warms up, is left out. The ratio is of a pair
of runs; its least and greatest are of the pairs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from alignloop import phases
from alignloop.core import parallel_passes, pass_limits, ppo, precision
from alignloop.core.kl_controller import FixedKl
from alignloop.core.model_shape import feed_forward
from alignloop.core.models import load_policy, save_policy, token_rules
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import pad_of, train_tokenizer
from alignloop.training.scoring import scorer
from alignloop.world.builder import make_world
from benchmarks.laboratory import load
from benchmarks.phase_table import phase_rows
from benchmarks.plain_ppo import PLAIN

PROMPT, RESPONSE = 16, 48
SHAPES = {"2x128": (2, 128, 128), "8x384": (8, 384, 64)}  # layers, width, responses a step
VOCABULARY = 5056
ROWS = 16  # responses a step for a checkpoint
STEPS = 3  # measured steps of a process
PEER = Path(__file__).with_name("peers_trl.py")


def make(root: Path, shape: str) -> int:
    """Write policy, scorer and prompts; returns the responses of a step."""
    rows = ROWS
    if shape in SHAPES:
        layers, width, rows = SHAPES[shape]
        plan = load({}).ingest.world.model_copy(update={"documents": 400})
        documents = make_world(1, plan).documents
        tokenizer = train_tokenizer([document.text or "" for document in documents], VOCABULARY)
        filler = [f"<filler {number}>" for number in range(VOCABULARY - len(tokenizer))]
        tokenizer.add_tokens(
            filler
        )  # so that here too every token may be drawn, and costs what it does there
        torch.manual_seed(1)
        policy = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY,
                hidden_size=width,
                intermediate_size=feed_forward(width),
                num_hidden_layers=layers,
                num_attention_heads=width // 32,
                num_key_value_heads=width // 32,
                max_position_embeddings=256,
                tie_word_embeddings=True,
                pad_token_id=pad_of(tokenizer),
            )
        )
        save_policy(policy, tokenizer, root / "policy")
    policy, tokenizer = load_policy(root / "policy" if shape in SHAPES else shape)
    if shape not in SHAPES:
        save_policy(policy, tokenizer, root / "policy")
    RewardModel.from_policy(policy, 1).save(root / "reward", tokenizer)
    config = policy.config
    config.num_labels = 1
    config.pad_token_id = pad_of(tokenizer)
    judge = LlamaForSequenceClassification(config)
    judge.model.load_state_dict(policy.model.state_dict())
    judge.save_pretrained(root / "scorer")
    random = np.random.default_rng(1)
    prompts = random.integers(10, min(2000, len(tokenizer)), (rows * (STEPS + 1), PROMPT)).tolist()
    (root / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    return rows


def ours(root: Path, rows: int) -> None:
    """Run PPO steps here; prints a JSON line per step, the last with the seconds of each phase."""
    policy, tokenizer = load_policy(root / "policy")
    model = RewardModel.load(root / "reward").frozen()
    config = replace(
        PLAIN,
        steps=STEPS + 1,
        prompts_per_step=rows,
        learning_rate=1e-5,
        value_learning_rate=1e-5,
        adam_betas=(0.9, 0.999),
        adam_epsilon=1e-8,
        value_coef=0.1,
        ema_decay=0.99,
        max_new_tokens=RESPONSE,
        batch=rows,
    )
    trainer = ppo.Trainer(
        policy,
        precision.freeze(load_policy(root / "policy")[0]),
        RewardModel.load(root / "reward"),
        score=scorer(model, tokenizer),
        prompts=json.loads((root / "prompts.json").read_text(encoding="utf-8")),
        ptx=[],
        controller=FixedKl(0.05),
        rules=token_rules(tokenizer, policy),
        config=config,
        random=np.random.default_rng(1),
        generator=torch.Generator().manual_seed(1),
    )
    last = (time.perf_counter(), time.process_time())
    for step in trainer:
        now = (time.perf_counter(), time.process_time())
        drawn = sum(map(len, step.rollouts.responses))
        wall, cpu = (after - before for after, before in zip(now, last, strict=True))
        took = dict(phases.seconds()) if step.number > 1 else {}
        print(json.dumps({"tokens": drawn, "wall": wall, "cpu": cpu, "phases": took}), flush=True)
        if step.number == 1:
            phases.clear()
        last = (time.perf_counter(), time.process_time())


def measured(command: list[str]) -> tuple[float, float, dict[str, float]]:
    """Response tokens per wall and per processor second of a child, and the last seconds by phase."""
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **quiet})
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-3000:]}")
    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")][1:]
    tokens, wall, cpu = (sum(step[name] for step in steps) for name in ("tokens", "wall", "cpu"))
    return tokens / wall, tokens / cpu, steps[-1].get("phases", {})


def spread(values: list[float]) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "peer", nargs="?", help="the Python of an environment with TRL 1.0.0; none: ours alone"
    )
    parser.add_argument(
        "--shapes", nargs="+", default=list(SHAPES), help="2x128, 8x384, or a checkpoint's folder"
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--passes", type=int, help="at a time; threads that are left share an operator")
    parser.add_argument("--tokens", type=int, default=load({}).compute.tokens_per_pass, help="of a pass")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--ours", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        passes = arguments.passes or arguments.threads
        torch.set_num_threads(max(1, arguments.threads // passes))
        parallel_passes.use(passes)
        pass_limits.use(pass_limits.PassLimits(arguments.tokens))
        precision.use(arguments.precision)
        ours(Path(arguments.ours[0]), int(arguments.ours[1]))
        return
    print(
        "| model | tokens/s | TRL | ratio | tokens per CPU second | TRL | ratio |\n"
        "|---|---:|---:|---:|---:|---:|---:|"
    )
    tables: list[str] = []
    for shape in arguments.shapes:
        with tempfile.TemporaryDirectory() as folder:
            rows = make(Path(folder), shape)
            here = [sys.executable, "-m", "benchmarks.peers"]
            here += ["--ours", folder, str(rows), "--threads", str(arguments.threads)]
            here += ["--tokens", str(arguments.tokens), "--precision", arguments.precision]
            here += ["--passes", str(arguments.passes or arguments.threads)]
            sizes = [str(number) for number in (STEPS + 1, rows, RESPONSE, arguments.threads)]
            sizes.append(arguments.precision)
            there = [arguments.peer, str(PEER), folder, *sizes] if arguments.peer else None
            pairs = [(measured(here), measured(there) if there else None) for _ in range(arguments.pairs)]
        cells = [Path(shape).name]
        for per_second in (lambda run: run[0], lambda run: run[1]):
            cells.append(f"{statistics.median(per_second(mine) for mine, _ in pairs):,.0f}")
            theirs = [(per_second(mine), per_second(other)) for mine, other in pairs if other]
            cells.append(f"{statistics.median(other for _, other in theirs):,.0f}" if theirs else "")
            cells.append(spread([mine / other for mine, other in theirs]) if theirs else "")
        print(f"| {' | '.join(cells)} |", flush=True)
        sums: Counter[str] = Counter()
        for one, _ in pairs:
            sums.update(one[2])
        tables += phase_rows(Path(shape).name, sums, STEPS * len(pairs))
    print("\nWhere our time goes, a step:\n\n| model | phase | seconds | share |\n|---|---|---:|---:|")
    print("\n".join(tables))


if __name__ == "__main__":
    main()
