"""`data show` follows a record from the line of its source to the models that saw it."""

from pathlib import Path

import pytest

from alignloop.__main__ import main

from .conftest import USERS


def show(id: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["data", "show", id]) == 0
    return capsys.readouterr().out.splitlines()


def place_of(root: Path, file: str, text: str) -> int:
    return next(number for number, line in enumerate((root / file).read_text().splitlines(), 1) if text in line)


def test_a_prompt_is_followed_from_its_line_to_the_sets_and_rankings(data: Path, capsys: pytest.CaptureFixture[str]):
    out = show("p-5-1", capsys)
    assert out[:2] == ["p-5-1, user user-5, category other", "  user: What is 5 and 1?"]
    assert out[2].startswith("comes from data/sources/prompts.jsonl:17, format own, licence MIT, SHA-256 ")
    assert '"id": "p-5-1"' in out[3]
    [split] = [split for split in ("train", "valid", "test") if "p-5-1" in (data / f"data/prompts/{split}.jsonl").read_text()]
    assert f"stands in  data/raw/prompts.jsonl:{place_of(data, 'data/raw/prompts.jsonl', 'p-5-1')}" in out
    assert f"stands in  data/prompts/{split}.jsonl:{place_of(data, f'data/prompts/{split}.jsonl', 'p-5-1')}" in out
    line = place_of(data, "data/raw/rankings.jsonl", "r-5")
    assert f"stands in  data/raw, in 1 records about it: r-5 (rankings.jsonl:{line})" in out
    assert out[-1] == "no model that this MLflow store or dvc.lock knows of has seen it", "the models learned from the version before"


def test_models_that_learned_are_told_from_those_that_were_measured(data: Path, capsys: pytest.CaptureFixture[str]):
    for split in ("train", "test"):
        text = (data / f"data/demonstrations/{split}.jsonl").read_text()
        out = show(next(f"d-{user}" for user in range(USERS) if f'"d-{user}"' in text), capsys)
        ways = [line[:16] for line in out if " models/sft " in line]
        assert ways == ["learned from by " if split == "train" else "measured on by  "]
        assert any(line.startswith("built on these: models/r1/reward ") for line in out) == (split == "train")


def test_what_stands_nowhere_is_one_message(data: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "show", "p-none"]) == 1
    assert capsys.readouterr().err.startswith("data: p-none: stands in no set, now or in DVC's cache;")
