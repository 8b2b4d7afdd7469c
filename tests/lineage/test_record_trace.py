"""`data show` traces a record from the line of its source to the models that saw it."""

import json
import shutil
from pathlib import Path

import pytest

from alignloop.__main__ import main
from alignloop.data.chosen_responses import demonstration_of
from alignloop.data.formats import FORMATS
from alignloop.lineage.record_trace import quote_source
from alignloop.records import Document, Ranking
from tests.lineage.conftest import USERS, demonstration


def show(id: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["data", "show", id]) == 0
    return capsys.readouterr().out.splitlines()


def line_of(root: Path, file: str, text: str) -> int:
    return next(
        number for number, line in enumerate((root / file).read_text().splitlines(), 1) if text in line
    )


def test_a_terminal_obeys_nothing_that_a_record_holds(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    root = tmp_path / "project"
    shutil.copytree(data, root, symlinks=True)
    monkeypatch.chdir(root)
    hostile = "\x1b]0;title\x07\x1b[2J"
    row = {
        "id": "evil",
        "messages": [{"role": "user", "content": hostile}],
        "user": hostile,
        "category": hostile,
    }
    file = root / "data/prompts/train.jsonl"
    file.write_text(file.read_text() + json.dumps(row) + "\n")
    assert main(["data", "show", "evil"]) == 0
    out = capsys.readouterr().out
    assert "evil, user ␛]0;title␇␛[2J, category ␛]0;title␇␛[2J" in out
    assert not [sign for sign in out if ord(sign) < 32 and sign != "\n"]


def test_a_prompt_is_traced_from_its_line_to_the_sets_and_rankings(
    data: Path, capsys: pytest.CaptureFixture[str]
):
    out = show("p-5-1", capsys)
    assert out[:2] == ["p-5-1, user user-5, category other", "  user: What is 5 and 1?"]
    assert out[2].startswith("comes from data/sources/prompts.jsonl:17, format own, licence MIT, SHA-256 ")
    assert '"id": "p-5-1"' in out[3]
    [split] = [
        split
        for split in ("train", "valid", "test")
        if "p-5-1" in (data / f"data/prompts/{split}.jsonl").read_text()
    ]
    assert f"is in      data/raw/prompts.jsonl:{line_of(data, 'data/raw/prompts.jsonl', 'p-5-1')}" in out
    assert (
        f"is in      data/prompts/{split}.jsonl:{line_of(data, f'data/prompts/{split}.jsonl', 'p-5-1')}"
        in out
    )
    line = line_of(data, "data/raw/rankings.jsonl", "r-5")
    assert f"is in      data/raw, in 1 records about it: r-5 (rankings.jsonl:{line})" in out
    assert out[-1] == "no model that this MLflow store or dvc.lock knows of has seen it", (
        "the models were trained on the version before"
    )


def prompt_of(root: Path, id: str) -> str:
    """Return the id of the prompt that `ingest` takes from a demonstration."""
    made = [
        json.loads(line)
        for name in ("prompts", "demonstrations")
        for line in (root / f"data/raw/{name}.jsonl").read_text().splitlines()
    ]
    prompt = next(row for row in made if row["id"] == id)["messages"][0]
    return next(row["id"] for row in made if row["messages"] == [prompt])


def test_of_rows_on_one_line_the_one_that_gives_the_record_is_quoted(
    data: Path, capsys: pytest.CaptureFixture[str]
):
    for user in (0, 7, USERS - 1):
        row = json.dumps(demonstration(user))
        assert f"  now on that line: {row}" in show(f"d-{user}", capsys)
        assert f"  now on that line: {row}" in show(prompt_of(data, f"d-{user}"), capsys)


def test_a_document_is_quoted_as_plain_text(data: Path, capsys: pytest.CaptureFixture[str]):
    for line in (data / "data/raw/documents.jsonl").read_text().splitlines()[::20]:
        row = json.loads(line)
        [quoted] = [line for line in show(row["id"], capsys) if "now on that line: " in line]
        assert quoted.startswith(f"  now on that line: {row['text'][:80]}")


def test_of_the_pieces_of_a_line_of_text_the_one_that_is_the_document_is_quoted(tmp_path: Path):
    file = tmp_path / "text.txt"
    file.write_text(" ".join(f"Sentence {number} says little." for number in range(60)))
    source = {"source": "text.txt", "format": "text"}
    documents = [
        (line, item) for line, item in FORMATS["text"].read(file, "text.txt") if isinstance(item, Document)
    ]
    assert [line for line, _ in documents] == [1, 1, 1]
    for line, document in documents:
        quote = quote_source(file, source, {"id": document.id, "origin": {"line": line}})
        assert quote.startswith(f"now on that line: {(document.text or '')[:90]}")


def test_rows_that_cannot_be_distinguished_are_counted(tmp_path: Path):
    file = tmp_path / "shown.json"
    file.write_text(json.dumps([demonstration(user) for user in range(3)]))
    message = "3 rows begin there now; which of them gave the record is unknown"
    row = demonstration(9) | {"origin": {"line": 1}}
    assert quote_source(file, {"source": "shown.json", "format": "own"}, row) == message, (
        "none of them gives it any more"
    )
    row = demonstration(1) | {"origin": {"line": 1}}
    assert quote_source(file, {"source": "shown.json", "format": "columns"}, row) == message, (
        "the mapping may have changed"
    )
    row["origin"]["line"] = 2
    assert quote_source(file, {"source": "shown.json", "format": "own"}, row) == "no row begins there now"


def test_trained_models_are_listed_apart_from_measured_ones(data: Path, capsys: pytest.CaptureFixture[str]):
    for split in ("train", "test"):
        text = (data / f"data/demonstrations/{split}.jsonl").read_text()
        out = show(next(f"d-{user}" for user in range(USERS) if f'"d-{user}"' in text), capsys)
        ways = [line[:16] for line in out if " models/sft " in line]
        assert ways == ["learned from by " if split == "train" else "measured on by  "]
        assert any(line.startswith("built on these: models/r1/reward ") for line in out) == (split == "train")


def test_an_unknown_record_gives_one_message(data: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "show", "p-none"]) == 1
    assert capsys.readouterr().err.startswith("data: p-none: is in no set, now or in DVC's cache;")


def test_a_chosen_response_leads_to_its_ranking_among_others_on_the_line(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "chosen": f"yes {n}", "rejected": "no"} for n in (1, 2)]
    file = tmp_path / "prefs.json"
    file.write_text(json.dumps(rows))
    [_, (line, second)] = FORMATS["trl"].read(file, "prefs.json")
    assert isinstance(second, Ranking)
    row = json.loads(demonstration_of(second, "yes 2").model_dump_json()) | {"origin": {"line": line}}
    assert "yes 2" in quote_source(file, {"source": "prefs.json", "format": "trl"}, row)
