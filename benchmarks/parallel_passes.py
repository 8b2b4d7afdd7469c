"""How much faster one learning step of the default is with passes side by side, and with smaller passes.

`python benchmarks/parallel_passes.py` prints it.

Steps per second of the embedded world's pretraining, at the sizes of params.yaml, as ratios to one lane and passes of 1,024 tokens. Each
way takes its turn in every repetition, and the best of them counts: other work on the machine slows all ways alike.
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

WAYS = [(1, 1024), (2, 1024), (1, 384), (2, 384), (1, 256), (2, 256)]  # lanes, tokens a pass


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
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
    for _ in range(given.repetitions):
        for way in WAYS:
            best[way] = max(
                best.get(way, 0.0),
                steps_per_second(way, params, tokenizer, rows[: given.steps * size], size, pad),
            )
    print(f"{'lanes':>5}  {'tokens a pass':>13}  {'steps/s':>7}  {'ratio':>5}")
    for (number, tokens), speed in best.items():
        print(f"{number:>5}  {tokens:>13}  {speed:>7.1f}  {speed / best[WAYS[0]]:>5.2f}")


def steps_per_second(
    way: tuple[int, int],
    params: Params,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Encoded],
    size: int,
    pad: int,
) -> float:
    """Steps of learning on `rows`, `size` a step, per second."""
    number, tokens = way
    plan = params.pretrain
    model = new_policy(tokenizer, plan.layers, plan.width, plan.heads, plan.context, params.seed)
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
