"""What PPO costs on each domain of the corpus, with and without pretraining text, over seeds.

Base, SFT and two policies of one round in the built-in environment with code, over seeds: nats per token of
held-out documents by domain, and gold. All models come from the pipeline's own stages.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import yaml
from transformers import logging

from alignloop.core.models import load_policy
from alignloop.data.pretraining_text import by_stated_domain, read_text
from alignloop.files import write_json
from alignloop.markdown import number, table
from alignloop.training.corpus_loss import corpus_loss, domain_losses
from benchmarks.laboratory import Laboratory, load

MODELS = {"base": "base", "sft": "SFT", "no-ptx": "PPO without ptx", "ppo": "PPO with ptx"}


def run(lab: Laboratory) -> dict[str, dict[str, float]]:
    """The gold of each model's responses, and its loss on each domain; of one seed."""
    lab.set_up(None)
    lab.rank("all", "sft")
    lab.learn_reward("reward", "all")
    lab.improve("ppo", "sft", "reward")
    lab.improve("no-ptx", "sft", "reward", ptx_coef=0.0)
    documents = by_stated_domain(
        read_text(lab.root / "data/corpus", "valid")[: lab.params.evaluate.documents]
    )
    results = {}
    for name in MODELS:
        model, tokenizer = load_policy(lab.model(name))
        losses = domain_losses(documents, lambda own, m=model, t=tokenizer: corpus_loss(m, t, own))
        gold = lab.measure(name, "reward")["gold"]
        results[name] = {"gold": gold, **{domain: each.loss for domain, each in losses.items()}}
    return results


def report(seeds: Mapping[int, Mapping[str, Mapping[str, float]]]) -> str:
    """A row per model: means over seeds, with each seed's number where there are several."""
    results = list(seeds.values())
    columns = list(results[0]["base"])
    rows = [["model", *columns]]
    rows += [
        [words, *(_cell([result[name][column] for result in results]) for column in columns)]
        for name, words in MODELS.items()
    ]
    return table(rows) + "\n"


def _cell(values: Sequence[float]) -> str:
    each = " ".join(number(value, 3) for value in values)
    return number(fmean(values), 3) + (f" ({each})" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.domains", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--sizes", type=Path, default=Path(__file__).with_suffix(".yaml"), help="changes to params.yaml"
    )
    parser.add_argument("--out", type=Path, help="a file for the numbers")
    parser.add_argument(
        "--work", type=Path, help="a folder to work in, and to resume from; else a temporary one"
    )
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    changes: dict[str, Any] = yaml.safe_load(arguments.sizes.read_text(encoding="utf-8"))
    results: dict[int, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in arguments.seeds:
            params = load({**changes, "seed": seed})
            torch.set_num_threads(params.threads)
            results[seed] = run(Laboratory((arguments.work or Path(temporary)) / f"seed-{seed}", params))
            print(f"seed {seed}: {json.dumps(results[seed])}", flush=True)
            if arguments.out:
                write_json(arguments.out, {str(each): of for each, of in results.items()})
    print(report(results))


if __name__ == "__main__":
    main()
