"""Base models of four sizes on one corpus, in the built-in environment: `python -m benchmarks.sizes --help`.

Loss against weights and compute with fitted exponents, accuracy of prompting against weights, and small
aligned models against larger base models (arXiv 2203.02155: outputs of the 1.3B InstructGPT are preferred
to those of the 175B GPT-3). As there, small policies learn from a reward model of a larger size. Every result
is a file under `--work`, which is not computed again.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import PreTrainedModel, PreTrainedTokenizerBase, logging

from alignloop.core.checkpoint_folder import load_tokenizer
from alignloop.core.lm_training import fit, mean_loss
from alignloop.core.models import new_policy, save_policy
from alignloop.core.sampler import OwnSampler
from alignloop.core.tokens import pad_of, train_tokenizer
from alignloop.data.record_files import read
from alignloop.evaluation.responses import load_test_set, respond
from alignloop.evaluation.verbalisers import LABEL, Template, Verbalisers, class_probabilities
from alignloop.files import replacing, write_json
from alignloop.params.binding import bind
from alignloop.records import Document
from alignloop.seeds import draws, seed_of
from alignloop.stages.ingest import ingest
from alignloop.stages.prepare import prepare
from alignloop.stages.pretrain import texts_of
from alignloop.training.encoding import document_rows
from alignloop.world.things import ATTRIBUTES, Fact, capital, make_facts
from benchmarks.laboratory import PROJECT, Laboratory, load
from benchmarks.sizes_report import picture, report

WIDTHS = (16, 32, 64, 128)
SHARES = (1 / 16, 1 / 4, 1.0)  # of the corpus; each document is seen once
SMALL, JUDGE = (16, 32), 64  # widths that are aligned, and of the reward model that they learn from
LAYERS, HEAD_WIDTH = 2, 32
SHOTS = (0, 4)
DRAWS = 200  # of the bootstrap


def learning_rate(width: int) -> float:
    """The peak learning rate: params.yaml's at width 128, inversely as the width, at most 0.01."""
    return min(0.01, 3e-3 * 128 / width)


class Sizes:
    """The experiments in one folder: the records of one environment, one tokenizer, and models by width."""

    def __init__(self, root: Path, changes: dict[str, Any]) -> None:
        self.root, self.params = root, load(changes)

    def prepare(self) -> None:
        """Make the records and the tokenizer that all sizes share."""
        data = self.root / "data"
        raw, sets = data / "raw", [data / name for name in ("prompts", "demonstrations", "corpus")]
        if not raw.exists():
            forgotten, numbers = PROJECT / "data/forgotten.txt", self.root / "metrics/ingest.json"
            _run(bind(ingest, self.params)(data / "sources", forgotten, raw, numbers))
        if not (data / "imported").exists():
            numbers = self.root / "metrics/prepare.json"
            _run(bind(prepare, self.params)(raw, *sets, rankings=data / "imported", metrics=numbers))
        if not (self.root / "tokenizer").exists():
            texts = (text for document in self._documents("train") for text in texts_of(document))
            tokenizer = train_tokenizer(texts, self.params.pretrain.vocabulary)
            with replacing(self.root / "tokenizer") as part:
                tokenizer.save_pretrained(part)
        print("records and tokenizer", flush=True)

    def cell(self, seed: int, width: int, share: float) -> dict[str, Any]:
        """A base model of a width after a share of the corpus: weights, tokens, loss, what is right."""
        file = self.root / f"cells/{seed}-{width}-{share:g}.json"
        if not file.exists():
            found = self._train(seed, width, share)
            write_json(file, found)
            print(
                f"seed {seed}, width {width}, {share:g} of the corpus: loss {found['loss']:.4f}", flush=True
            )
        return json.loads(file.read_text(encoding="utf-8"))

    def _train(self, seed: int, width: int, share: float) -> dict[str, Any]:
        plan, tokenizer = self.params.pretrain, load_tokenizer(self.root / "tokenizer")
        learned, held_out = (
            document_rows(tokenizer, self._documents(split), plan.context) for split in ("train", "valid")
        )
        rows = learned[: round(share * len(learned))]
        model = new_policy(
            tokenizer,
            layers=LAYERS,
            width=width,
            heads=max(2, width // HEAD_WIDTH),
            context=plan.context,
            seed=seed_of(seed, "sizes", "weights"),
        )
        training = fit(
            model,
            rows,
            pad_of(tokenizer),
            epochs=1,
            rows_per_step=plan.documents_per_step,
            learning_rate=learning_rate(width),
            warmup=plan.warmup,
            weight_decay=plan.weight_decay,
            random=draws(seed, "sizes", "order"),
        )
        _run(training)
        if share == SHARES[-1]:
            with replacing(self._base(seed, width)) as part:
                save_policy(model, tokenizer, part)
        return {
            "seed": seed,
            "width": width,
            "share": share,
            "weights": sum(each.numel() for each in model.parameters()),
            "tokens": sum(len(row.ids) for row in rows),
            "loss": mean_loss(model, held_out, pad_of(tokenizer)),
            "right": self._right(seed, model, tokenizer),
        }

    def _right(
        self, seed: int, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, list[int]]:
        """For each number of shots and each fact, whether its value is the most probable of its kind."""
        facts = make_facts(self.params.seed, self.params.ingest.world.facts).all
        right: dict[str, list[int]] = {str(shots): [] for shots in SHOTS}
        for shots, attribute in product(SHOTS, ATTRIBUTES.values()):
            words = Verbalisers({value: [value] for value in attribute.values})
            own = [fact for fact in facts if fact.attribute == attribute.name]
            prompts = [_cloze(fact, own, shots, seed) for fact in own]
            chances = class_probabilities(model, tokenizer, prompts, words)
            named = [attribute.values[place] for place in chances.argmax(1).tolist()]
            right[str(shots)] += [int(name == fact.value) for name, fact in zip(named, own, strict=True)]
        return right

    def aligned(self, small: int, judge: int, seed: int) -> dict[str, Any]:
        """SFT and PPO of a small base model, by a reward model of width `judge`: gold of their responses.

        Beside it, gold of the responses of each base model to the same prompts.
        """
        lab, teacher = self._laboratory(seed, small), self._laboratory(seed, judge)
        for each in (lab, teacher):
            each.set_up(None)
        name = f"of-{small}"
        lab.rank(name, "sft")
        _link(teacher.root / "data/rankings" / name, lab.root / "data/rankings" / name)
        teacher.learn_reward(name, name)
        _link(lab.model(name), teacher.model(name))
        lab.improve("ppo", "sft", name)
        print(f"width {small} aligned", flush=True)
        own = {
            each: self._golds(f"{each}-{small}", lab.model(each), teacher.model(name))
            for each in ("sft", "ppo")
        }
        bases = {
            str(width): self._golds(f"base-{width}", self._base(seed, width), teacher.model(name))
            for width in WIDTHS
        }
        return {"small": small, "judge": judge, **own, "bases": bases}

    def _golds(self, name: str, path: Path, judge: Path) -> list[float]:
        """The gold of a model's responses to test prompts."""
        file = self.root / f"golds/{name}.json"
        if not file.exists():
            plan, data = self.params.evaluate, self.root / "data"
            tests = replace(load_test_set(plan, data / "prompts", data / "corpus", judge), documents=[])
            found = respond(
                self.params.seed,
                plan,
                self.params.decoding,
                self.params.tools,
                name=name,
                path=path,
                tests=tests,
                sampler=OwnSampler(),
            )
            write_json(file, {"gold": [each.gold for each in found.responses]})
        return json.loads(file.read_text(encoding="utf-8"))["gold"]

    def known(self) -> dict[str, Any]:
        """The results that are there."""
        cells = [
            json.loads(file.read_text(encoding="utf-8")) for file in (self.root / "cells").glob("*.json")
        ]
        golds = {
            file.stem: json.loads(file.read_text(encoding="utf-8"))["gold"]
            for file in (self.root / "golds").glob("*.json")
        }
        bases = {str(width): golds[f"base-{width}"] for width in WIDTHS if f"base-{width}" in golds}
        aligned = [
            {"small": width, **{each: golds[f"{each}-{width}"] for each in ("sft", "ppo")}, "bases": bases}
            for width in WIDTHS
            if f"ppo-{width}" in golds
        ]
        order = sorted(cells, key=lambda cell: (cell["seed"], cell["width"], cell["share"]))
        return {"cells": order, "aligned": aligned}

    def _laboratory(self, seed: int, width: int) -> Laboratory:
        """A laboratory with the shared records and the base model of a width."""
        root = self.root / f"aligned/{width}"
        for name in ("raw", "imported", "prompts", "demonstrations", "corpus"):
            _link(root / "data" / name, self.root / "data" / name)
        _link(root / "models/base", self._base(seed, width))
        return Laboratory(root, self.params)

    def _base(self, seed: int, width: int) -> Path:
        return self.root / f"models/{seed}-{width}"

    def _documents(self, split: str) -> list[Document]:
        documents = read(self.root / f"data/corpus/{split}.jsonl", Document)
        return documents if split == "train" else documents[: self.params.evaluate.documents]


def _cloze(fact: Fact, own: Sequence[Fact], shots: int, seed: int) -> str:
    """The fact's statement up to its value, after true statements of other things."""
    statement = next(text for text in ATTRIBUTES[fact.attribute].statements if text.endswith(" {v}."))
    template = Template(capital(statement.replace("{t}", "the {thing}")).replace("{v}.", LABEL))
    others = [other for other in own if other != fact]
    places = draws(seed, "sizes", "shots", fact.thing, fact.attribute).permutation(len(others))[:shots]
    known = [({"thing": others[place].thing}, f"{others[place].value}.") for place in places]
    return template.with_shots(known).filled({"thing": fact.thing})


def _link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.symlink_to(target.resolve())


def _run(steps: Iterable[object]) -> None:
    for _ in steps:
        pass


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.sizes", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--small", type=int, nargs="*", default=SMALL, help="widths that are aligned")
    parser.add_argument(
        "--sizes", type=Path, default=Path(__file__).with_suffix(".yaml"), help="changes to params.yaml"
    )
    parser.add_argument("--work", type=Path, required=True, help="a folder to work in, and to resume from")
    parser.add_argument("--out", type=Path, required=True, help="a folder for sizes.json, .md and .png")
    parser.add_argument("--report", action="store_true", help="report what is under --work; compute no more")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    sizes = Sizes(arguments.work, yaml.safe_load(arguments.sizes.read_text(encoding="utf-8")))
    torch.set_num_threads(sizes.params.threads)
    results: dict[str, Any] = sizes.known() if arguments.report else {"cells": [], "aligned": []}

    def keep() -> str:
        text = report(results, DRAWS)
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_json(arguments.out / "sizes.json", results)
        (arguments.out / "sizes.md").write_text(text, encoding="utf-8")
        figure = picture(results, DRAWS)
        figure.savefig(arguments.out / "sizes.png", dpi=110, metadata={"Software": None})
        return text

    if not arguments.report:
        sizes.prepare()
    for place, seed in enumerate([] if arguments.report else arguments.seeds):
        for width, share in product(WIDTHS, SHARES):
            results["cells"].append(sizes.cell(seed, width, share))
        if place == 0:
            for small in arguments.small:
                results["aligned"].append(sizes.aligned(small, JUDGE, seed))
        keep()
    print(keep())


if __name__ == "__main__":
    main()
