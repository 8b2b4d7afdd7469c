"""A corpus in domains: pretraining draws a mixture, and each later stage states the loss on each domain."""

from math import exp, log
from pathlib import Path
from typing import Any

import pytest

from alignloop.core.models import load_policy
from alignloop.data.record_files import read, write
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.records import Document
from alignloop.stages.pretrain import pretrain
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.encoding import document_rows
from tests.stages.loop import Loop, tiny

SIZES = {"vocabulary": 300, "layers": 1, "width": 16, "heads": 2, "context": 96, "epochs": 2.0}


def in_domains(root: Path) -> None:
    """Every fourth document is code."""
    for split in ("train", "valid"):
        file = root / "corpus" / f"{split}.jsonl"
        documents = read(file, Document)
        write(
            file,
            [
                each.model_copy(update={"domain": None if n % 4 else "code"})
                for n, each in enumerate(documents)
            ],
        )


def trained(loop: Loop, params: Params) -> dict[str, Any]:
    at = loop.root
    list(
        bind(pretrain, params)(
            Checkpoint.fresh(at, "pretrain"), at / "corpus", at / "base", at / "base.json", at / "base.csv"
        )
    )
    return loop.numbers("base")


def test_a_mixture_is_drawn_and_counted_and_the_loss_of_each_domain_is_stated_to_the_end(tmp_path: Path):
    loop = Loop(tmp_path, tmp_path / "base")
    in_domains(tmp_path)
    params = tiny(ingest={"source": "files"}, pretrain={**SIZES, "mixture": {"code": 3.0, "text": 1.0}})
    numbers = trained(loop, params)
    code, text = numbers["domains"]["code"], numbers["domains"]["text"]
    assert (code["documents"], text["documents"]) == (4, 12)
    drawn = code["drawn_tokens"] + text["drawn_tokens"]
    assert drawn == pytest.approx(2 * (code["tokens"] + text["tokens"]), abs=40)
    assert code["drawn_tokens"] / drawn == pytest.approx(0.75, abs=0.02)
    assert code["epochs"] == pytest.approx(code["drawn_tokens"] / code["tokens"])
    assert code["epochs"] > 4 > 1 > text["epochs"]

    tokenizer = load_policy(tmp_path / "base")[1]
    valid = read(tmp_path / "corpus" / "valid.jsonl", Document)
    predicted = {
        name: sum(len(row.ids) - 1 for row in document_rows(tokenizer, own, 96))
        for name, own in (("code", valid[::4]), ("text", [each for each in valid if not each.domain]))
    }
    together = sum(predicted[name] * numbers["domains"][name]["loss"] for name in predicted)
    assert together / sum(predicted.values()) == pytest.approx(numbers["loss"], abs=1e-5)

    loop.sft(params)
    assert {name: of["documents"] for name, of in loop.numbers("sft")["domains"].items()} == {
        "code": 4,
        "text": 12,
    }
    loop.reward(params)
    loop.ppo(params)
    loop.next_round(params, "policy")
    models = loop.numbers("evaluate")["models"]
    assert models["base"]["domains"]["code"]["loss"] == pytest.approx(code["loss"], abs=1e-5)
    sft = loop.numbers("sft")["domains"]
    for name in ("code", "text"):
        assert models["sft"]["domains"][name]["loss"] == pytest.approx(sft[name]["loss"], abs=1e-5)
    policy = models["policy"]
    together = sum(predicted[name] * policy["domains"][name]["loss"] for name in predicted)
    assert exp(together / sum(predicted.values())) == pytest.approx(policy["perplexity"], abs=1e-4)
    assert log(policy["perplexity"]) != pytest.approx(log(models["sft"]["perplexity"]), abs=1e-9)


def test_without_domains_nothing_is_stated_by_domain(tmp_path: Path):
    loop = Loop(tmp_path, tmp_path / "base")
    params = tiny(pretrain=SIZES)
    assert "domains" not in trained(loop, params)
    loop.sft(params)
    assert "domains" not in loop.numbers("sft")
