"""PPO steps by TRL 1.0.0, the last release with PPO, for `benchmarks.peers`; runs in TRL's own environment.

    python benchmarks/peers_trl.py FOLDER STEPS PROMPTS RESPONSE_TOKENS THREADS fp32|bf16

Reads FOLDER/policy and FOLDER/scorer (checkpoints) and FOLDER/prompts.json (rows of token ids of one length).
Prints a JSON line per step: response tokens, and the wall and processor seconds since the step before.
"""

import contextlib
import json
import sys
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer  # pyright: ignore[reportMissingImports]

OUT = sys.stdout


class Clock(TrainerCallback):
    """Prints the time of each step."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.last = (time.perf_counter(), time.process_time())

    def on_train_begin(self, *_, **__) -> None:
        self.last = (time.perf_counter(), time.process_time())

    def on_step_end(self, *_, **__) -> None:
        now = (time.perf_counter(), time.process_time())
        wall, cpu = (after - before for after, before in zip(now, self.last, strict=True))
        print(json.dumps({"tokens": self.tokens, "wall": wall, "cpu": cpu}), file=OUT, flush=True)
        self.last = now


def main() -> None:
    folder = Path(sys.argv[1])
    steps, prompts, length, threads = map(int, sys.argv[2:6])
    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy", padding_side="left")
    rows = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))
    config = PPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=prompts,
        gradient_accumulation_steps=1,
        num_mini_batches=1,
        num_ppo_epochs=1,
        total_episodes=steps * prompts,
        local_rollout_forward_batch_size=prompts,
        response_length=length,
        temperature=1.0,
        learning_rate=1e-5,
        num_sample_generations=0,
        save_strategy="no",
        report_to="none",
        logging_strategy="no",
        use_cpu=True,
        bf16=sys.argv[6] == "bf16",
        gradient_checkpointing=False,
        dataloader_num_workers=0,
    )
    with contextlib.redirect_stdout(sys.stderr):
        trainer = PPOTrainer(
            config,
            processing_class=tokenizer,
            model=AutoModelForCausalLM.from_pretrained(folder / "policy", dtype=torch.float32),
            ref_model=AutoModelForCausalLM.from_pretrained(folder / "policy", dtype=torch.float32),
            reward_model=AutoModelForSequenceClassification.from_pretrained(folder / "scorer"),
            value_model=AutoModelForSequenceClassification.from_pretrained(folder / "scorer"),
            train_dataset=Dataset.from_dict({"input_ids": rows}),
            eval_dataset=Dataset.from_dict({"input_ids": rows[:prompts]}),
            callbacks=[Clock(prompts * length)],
        )
        trainer.train()


if __name__ == "__main__":
    main()
