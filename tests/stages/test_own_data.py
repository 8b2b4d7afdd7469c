"""The loop on what people bring: a checkpoint and rankings, without plain text and without new labels."""

from pathlib import Path
from typing import Any

import pytest

from alignloop.data.input_files import DataError
from alignloop.data.record_files import read, write
from alignloop.params.binding import bind
from alignloop.records import Document, Samples
from alignloop.stages.label import NoImportedRankings, label
from tests.stages.loop import Loop, tiny

IMPORTED: dict[str, Any] = {"kind": "imported"}
NO_PTX: dict[str, Any] = {"ptx_coef": 0.0}


@pytest.fixture
def loop(tmp_path: Path, tiny_policy: Path) -> Loop:
    loop = Loop(tmp_path, tiny_policy)
    for split in ("train", "valid"):
        write(tmp_path / "corpus" / f"{split}.jsonl", list[Document]())
    return loop


def test_a_checkpoint_and_rankings_are_enough(loop: Loop) -> None:
    root = loop.root
    [taken] = [step.note for step in loop.pretrain(tiny()) if step.note]
    assert taken == "no plain text among the sources: no perplexity is measured"
    assert (loop.numbers("base")["loss"], loop.numbers("base")["perplexity"]) == (None, None)
    assert (root / "base.csv").read_text() == "step\n0\n"
    loop.sft(tiny())
    [too_few] = [step.note for step in loop.reward(tiny()) if step.note.startswith("too little data")]
    assert "36 ordered pairs" in too_few  # 12 rankings of 3
    assert "12 ordered validation pairs" in too_few
    numbers = loop.numbers("reward")
    assert (numbers["demonstrations"], numbers["pairs"], numbers["valid_pairs"]) == (16, 36, 12)
    loop.ppo(tiny(ppo=NO_PTX))
    told = loop.next_round(tiny(label=IMPORTED, evaluate={"prompts": 8, "documents": 4}), "policy")
    assert {step.note for step in told if step.note} == {
        "draws nothing: label.kind is imported, so nobody would rank it",
        "no new labels: 16 rankings were known before",
    }
    assert read(root / "samples.jsonl", Samples, allow_empty=True) == []
    assert loop.numbers("samples")["responses"] == 0
    assert [file.name for file in (root / "ranked").iterdir()] == ["r1.jsonl"], "no set pretends to be new"
    assert (root / "ranked" / "r1.jsonl").read_bytes() == (root / "rankings" / "r1.jsonl").read_bytes()
    assert (loop.numbers("ranked")["rankings"], loop.numbers("ranked")["pairs"]) == (0, 0)
    page = (root / "ranked.md").read_text()
    assert "No new labels" in page
    assert "16 rankings were known before (12 train, 4 valid, 0 test)" in page
    assert "| l       | panel |       16 |            48 |" in page
    models = loop.numbers("evaluate")["models"]
    assert {name: model["perplexity"] for name, model in models.items()} == dict.fromkeys(models)


@pytest.mark.parametrize(
    ("stage", "changes", "asks"),
    [
        ("ppo", {}, "ppo.ptx_coef asks for (0: off)"),
        ("sft", {"sft": {"pretrain_share": 0.2}}, "sft.pretrain_share asks for (0: off)"),
    ],
)
def test_what_asks_for_plain_text_is_named_where_there_is_none(
    loop: Loop, stage: str, changes: dict[str, Any], asks: str
) -> None:
    if stage == "ppo":
        loop.sft(tiny())
        loop.reward(tiny())
    with pytest.raises(DataError) as caught:
        getattr(loop, stage)(tiny(**changes))
    assert f"corpus/train.jsonl: holds no plain text, which {asks}; add a .txt file" in str(caught.value)


def test_imported_rankings_that_nobody_imported_are_missed(loop: Loop) -> None:
    root = loop.root
    write(root / "samples.jsonl", list[Samples]())
    (root / "none").mkdir()
    write(root / "none" / "imported.jsonl", list[Samples]())
    places: Any = {"metrics": root / "label.json", "report": root / "label.md"}
    work = bind(label, tiny(label=IMPORTED))(
        "r1", root / "samples.jsonl", root / "none", out=root / "out", **places
    )
    with pytest.raises(
        NoImportedRankings, match=r"holds 0 rankings, none of training users.*add a preference"
    ):
        list(work)
    assert not (root / "out").exists()
