"""Speed-up of a step by parallel or smaller passes: `python benchmarks/parallel_passes.py`.

Measures steps per second of the built-in environment's pretraining at the sizes of params.yaml, as ratios
to one parallel pass of 1,024 tokens. Each variant has its turn in every repetition and the best counts,
because other work on the machine slows all variants alike.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from alignloop.core import batches, lm_training, parallel_passes
from alignloop.core.models import new_policy
from alignloop.core.tokens import Encoded, pad_of, train_tokenizer
from alignloop.params import Params, load
from alignloop.training.encoding import document_rows
from alignloop.world.builder import make_world

WAYS = [(1, 1024), (2, 1024), (1, 384), (2, 384), (1, 256), (2, 256)]  # parallel passes, tokens per pass


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    params = load(Path(__file__).parents[1] / "params.yaml")
    torch.set_num_threads(params.threads)
    documents = make_world(
        params.seed, params.ingest.world.model_copy(update={"prompts": 100, "demonstrations": 100})
    ).documents
    texts = [
        document.text or " ".join(message.content for message in document.messages or ())
        for document in documents
    ]
    tokenizer = train_tokenizer(texts, params.pretrain.vocabulary)
    rows, pad = document_rows(tokenizer, documents, params.pretrain.context), pad_of(tokenizer)
    size = params.pretrain.documents_per_step
    best: dict[tuple[int, int], float] = {}
    for _ in range(arguments.repetitions):
        for way in WAYS:
            best[way] = max(
                best.get(way, 0.0),
                steps_per_second(way, params, tokenizer, rows[: arguments.steps * size], size=size, pad=pad),
            )
    print(f"{'passes':>6}  {'tokens a pass':>13}  {'steps/s':>7}  {'ratio':>5}")
    for (number, tokens), speed in best.items():
        print(f"{number:>6}  {tokens:>13}  {speed:>7.1f}  {speed / best[WAYS[0]]:>5.2f}")


def steps_per_second(
    way: tuple[int, int],
    params: Params,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Encoded],
    size: int,
    pad: int,
) -> float:
    """Optimiser steps per second on `rows`, `size` rows per step."""
    number, tokens = way
    plan = params.pretrain
    model = new_policy(
        tokenizer, plan.layers, plan.width, heads=plan.heads, context=plan.context, seed=params.seed
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate)
    parallel_passes.use(number)
    lm_training.by_length = partial(batches.by_length, tokens=tokens)
    started = time.perf_counter()
    for start in range(0, len(rows), size):
        lm_training.accumulate_gradients(model, rows[start : start + size], pad)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return len(rows) / size / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
