"""Speed of SFT with packing, compared with rows of similar length: `python -m benchmarks.packing`.

Measures processor seconds of optimiser steps on the built-in environment's demonstrations at the sizes of
params.yaml, with one parallel pass. Each variant has its turn in every repetition and the best counts,
because other work on the machine slows all variants alike. The losses must be equal.
"""

import argparse
import time
from pathlib import Path

import torch

from alignloop.core.batches import by_length, first_fit
from alignloop.core.lm_training import accumulate_gradients, count_targets
from alignloop.core.models import new_policy
from alignloop.core.tokens import pad_of, train_tokenizer
from alignloop.params import load
from alignloop.training.encoding import demonstration_rows
from alignloop.world.builder import make_world


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.packing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    params = load(Path(__file__).parents[1] / "params.yaml")
    torch.set_num_threads(params.threads)
    plan, size = params.pretrain, params.sft.demonstrations_per_step
    sizes = {"prompts": 100, "documents": 100, "demonstrations": arguments.steps * size}
    demonstrations = make_world(params.seed, params.ingest.world.model_copy(update=sizes)).demonstrations
    tokenizer = train_tokenizer(
        [message.content for each in demonstrations for message in each.messages], plan.vocabulary
    )
    rows, _ = demonstration_rows(tokenizer, demonstrations, params.sft.assistant_turns, plan.context)
    pad = pad_of(tokenizer)
    model = new_policy(
        tokenizer, plan.layers, plan.width, heads=plan.heads, context=plan.context, seed=params.seed
    )
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    best: dict[bool, float] = {}
    losses: dict[bool, list[float]] = {}
    for _ in range(arguments.repetitions):
        for packing in (False, True):
            began = time.process_time()
            losses[packing] = [accumulate_gradients(model, batch, pad, packing=packing) for batch in batches]
            best[packing] = min(best.get(packing, float("inf")), time.process_time() - began)
            model.zero_grad()
    real = sum(len(row.ids) for row in rows)
    padded = sum(
        len(part) * max(len(batch[i].ids) for i in part)
        for batch in batches
        for part in by_length([len(row.ids) for row in batch])
    )
    packs = sum(len(first_fit([len(row.ids) for row in batch])) for batch in batches)
    passes = sum(len(by_length([len(row.ids) for row in batch])) for batch in batches)
    apart = max(abs(one - other) for one, other in zip(*losses.values(), strict=True))
    print(
        f"{len(rows)} rows, {real} tokens, {count_targets(rows)} targets; padding adds "
        f"{padded / real - 1:.1%}; losses differ by {apart:.1e}"
    )
    for packing, seconds in best.items():
        name, count = ("packed", packs) if packing else ("rows by length", passes)
        print(
            f"{name:<20} {count:>4} passes  {real / seconds:>8,.0f} tokens per CPU second  "
            f"{best[False] / seconds:.2f} x"
        )


if __name__ == "__main__":
    main()
