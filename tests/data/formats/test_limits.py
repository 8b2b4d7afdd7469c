"""Time and memory are bounded for adversarial input and for very long lines."""

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from alignloop.data.formats import FORMATS
from alignloop.data.formats.importer import Refused
from alignloop.records import Document
from tests.data.formats.fuzzing import TABLE, sniffed, survives
from tests.data.formats.samples import SAMPLES


def chain(depth: int) -> dict[str, Any]:
    """A message tree of one conversation with so many turns."""
    node: dict[str, Any] = {}
    for place in range(depth, 0, -1):
        role = "prompter" if place % 2 else "assistant"
        node = {
            "message_id": str(place),
            "text": "x",
            "role": role,
            "rank": 0,
            "replies": [node] if node else [],
        }
    return {"message_tree_id": "t", "prompt": node}


def bushy() -> dict[str, Any]:
    """A long conversation that ends in thousands of replies, each with a follow-up."""
    tree = chain(81)
    node = tree["prompt"]
    while node["replies"]:
        node = node["replies"][0]
    node["replies"] = [
        {
            "message_id": f"a{n}",
            "text": "y",
            "role": "assistant",
            "rank": n,
            "replies": [{"message_id": f"b{n}", "text": "z", "role": "prompter"}],
        }
        for n in range(6000)
    ]
    return tree


MEGABYTE = 2**20
ADVERSARIAL: dict[str, Any] = {
    "brackets": b"[" * MEGABYTE,
    "objects in objects": b'{"a":' * (MEGABYTE // 5),
    "one key, twice, among very many": b"{" + b",".join(b'"k%d":1' % n for n in range(90_000)) + b',"k0":1}',
    "one string": b'"' + b"x" * MEGABYTE + b'"',
    "half a string": b'["' + b"\\u2028" * (MEGABYTE // 6),
    "digits": b"1" * MEGABYTE,
    "empty lines": b"\n" * (MEGABYTE // 2),
    "tiny rows": b"[7]\n" * (MEGABYTE // 8),
    "quotes": b'"' * MEGABYTE,
    "a gzip of 100 MB": gzip.compress(b"\0" * 100 * MEGABYTE),
    "words without an end": b"ab " * (MEGABYTE // 3),
    "transcripts of marks": json.dumps(
        {side: "\n\nHuman: a\n\nAssistant:" * 22_000 + side for side in ("chosen", "rejected")}
    ).encode(),
    "calculators' marks": json.dumps({"question": "?", "answer": "<<" * 500_000 + "\n#### 1"}).encode(),
    "qlora's marks": json.dumps(
        {"input": "### Human: a ### Assistant:" * 38_000, "output": "x", "message_id": "m"}
    ).encode(),
    "a chain of replies": json.dumps(chain(120)).encode(),
    "an endless chain": b'{"message_tree_id":"t","prompt":' + b'{"replies":[' * 80_000,
    "a bush": json.dumps(bushy()).encode(),
    "ranked things": json.dumps(
        {
            **SAMPLES["label-studio"],
            "data": {"prompt": "?", "items": [{"id": n, "body": ""} for n in range(40_000)]},
        }
    ).encode(),
}


READ_BY = {
    "transcripts of marks": "hh-rlhf",
    "calculators' marks": "gsm8k",
    "qlora's marks": "oasst-qlora",
    "a chain of replies": "open-assistant",
    "an endless chain": "open-assistant",
    "a bush": "open-assistant",
    "ranked things": "label-studio",
    "one string": "prompts",
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_a_megabyte_of_adversarial_input_takes_only_seconds(tmp_path: Path, name: str):
    for suffix in ("jsonl", "csv", "txt"):
        (tmp_path / f"input.{suffix}").write_bytes(ADVERSARIAL[name])
        sniffed(tmp_path / f"input.{suffix}")
    survives(FORMATS[READ_BY.get(name, "alpaca")], tmp_path / "input.jsonl")
    survives(FORMATS["text"], tmp_path / "input.txt")
    survives(TABLE, tmp_path / "input.csv")


def test_a_line_of_fifty_megabytes_takes_no_more_memory_than_the_bound(tmp_path: Path):
    good = json.dumps(SAMPLES["alpaca"]).encode()
    with (tmp_path / "long.jsonl").open("wb") as file:
        file.write(good + b'\n{"instruction": "')
        for _ in range(50):
            file.write(b"x" * MEGABYTE)
        file.write(b'"}\n' + good)
    tracemalloc.start()
    items = survives(FORMATS["alpaca"], tmp_path / "long.jsonl")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [line for line, _ in items] == [1, 2, 3]
    assert items[1][1] == Refused("a line of more than 16 MiB")
    assert items[0][1] == items[2][1]
    assert peak < 5 * 16 * MEGABYTE, "the bound, and what joining the parts of a line takes"


def test_a_corpus_on_one_line_is_read_in_parts_and_only_white_space_is_lost(tmp_path: Path):
    text = "Ein längerer Satz mit Wörtern. " * 20_000
    (tmp_path / "line.txt").write_text(text, encoding="utf-8")
    documents = [item for _, item in survives(FORMATS["text"], tmp_path / "line.txt")]
    texts = [item.text or "" for item in documents if isinstance(item, Document)]
    assert "".join(texts).replace(" ", "").replace("\n", "") == text.replace(" ", "")
    assert set(" ".join(texts).split()) == {"Ein", "längerer", "Satz", "mit", "Wörtern."}, "no word is cut"
