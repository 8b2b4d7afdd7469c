"""Whatever a source holds: a record that is right, a refusal with a reason, or one DataError; never another error, never a hang.

FUZZ_EXAMPLES=20000 looks longer than the few seconds that every run of the tests has for it.
"""

import copy
import gzip
import json
import os
import shutil
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignloop.data import record_files
from alignloop.data.formats import FORMATS, Changed, Format, Item, Refused, columns, sniff
from alignloop.data.record_files import DataError
from alignloop.records import Document, Prompt, Ranking
from tests.data.formats.samples import SAMPLES, STORY, imported, ranked, write

SECONDS = 5.0  # of this process, for a file of 1 MB, whatever it holds
MANY = 5000  # items of one source that are looked at
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
TABLE = columns("*", {"prompt": "instruction", "responses": ["input", "output"], "kind": "person"})
ANYTHING = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def survives(reader: Format, path: Path) -> list[Item]:
    """What a source gives, up to where it cannot be read on; every record can be written and read again, every reason told."""
    items: list[Item] = []
    told = str(path)
    began = time.process_time()
    try:
        for line, item in reader.read(path, path.name):
            if len(items) < MANY:
                items.append((line, item))
    except DataError as error:
        told = str(error)
    assert time.process_time() - began < SECONDS
    assert told.startswith((str(path), "ingest.columns"))
    for line, item in items:
        assert line >= 1
        if isinstance(item, Refused):
            assert 0 < len(item.reason) < 1000
            continue
        record = item.record if isinstance(item, Changed) else item
        assert type(record).model_validate_json(record_files.line_of(record), strict=True) == record
    return items


def sniffed(path: Path) -> None:
    began = time.process_time()
    try:
        told = sniff(path)
    except DataError as error:
        told = str(error)
    assert time.process_time() - began < SECONDS
    assert told in FORMATS or told.startswith(str(path))


TOKENS = [
    b"\0",
    "\u2028".encode(),
    "\ufeff".encode(),
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\u0000",
    b"\n",
    b"\r",
    b'"',
    b"\\",
]
TOKENS += [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"null",
    b"true",
    b"9" * 30,
    b"[" * 2000,
    b'{"a":' * 500,
]
TOKENS += [
    b"\n\nHuman:",
    b"\n\nAssistant:",
    b"\\n\\nAssistant:",
    b" ### Assistant:",
    b"<<1=1>>",
    b"PAR1",
    b"\x1f\x8b",
    b" " * 600,
]
cuts = st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(TOKENS) | st.binary(max_size=6))


def damaged(content: bytes, damages: list[tuple[float, int, bytes]]) -> bytes:
    for place, length, token in damages:
        at = int(place * len(content))
        content = content[:at] + token + content[at + length :]
    return content


formats = st.sampled_from(sorted(SAMPLES))


@given(format=formats, damages=st.lists(cuts, min_size=1, max_size=3))
@ANYTHING
def test_damage_in_one_row_is_told_and_leaves_its_neighbours_as_they_were(
    tmp_path: Path, format: str, damages: list[tuple[float, int, bytes]]
):
    write(tmp_path / "stories.jsonl", [STORY])
    row = json.dumps(SAMPLES[format], ensure_ascii=False).encode()
    path = tmp_path / "rows.jsonl"
    path.write_bytes(row + b"\n")
    alone = [item for _, item in survives(FORMATS[format], path)]
    path.write_bytes(b"\n".join([row, damaged(row, damages), row]))
    items = [item for _, item in survives(FORMATS[format], path)]
    assert items[: len(alone)] == alone
    assert items[-len(alone) :] == alone
    assert len(items) > 2 * len(alone)
    path.write_bytes(damaged(row, damages))
    sniffed(path)


words = st.text(st.characters(exclude_categories=[]), max_size=8)  # halves of surrogate pairs too
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
trees = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def replaced(tree: Any, steps: list[int], value: Any, remove: bool) -> Any:
    """The tree with the node that some steps lead to replaced, or taken out."""
    if not steps or not isinstance(tree, dict | list) or not tree:
        return value
    tree = copy.copy(tree)
    key = list(tree)[steps[0] % len(tree)] if isinstance(tree, dict) else steps[0] % len(tree)
    if remove and len(steps) == 1:
        del tree[key]
    else:
        tree[key] = replaced(tree[key], steps[1:], value, remove)
    return tree


@given(
    format=formats,
    changes=st.lists(
        st.tuples(st.lists(st.integers(0, 9), max_size=6), trees, st.booleans()), min_size=1, max_size=3
    ),
)
@ANYTHING
def test_a_row_of_other_values_where_others_belong_is_a_record_or_refused(
    tmp_path: Path, format: str, changes: list[Any]
):
    row = SAMPLES[format]
    for steps, value, remove in changes:
        row = replaced(row, steps, value, remove)
    write(tmp_path / "stories.jsonl", [STORY])
    rows = [SAMPLES[format], row]
    (tmp_path / "rows.jsonl").write_text(
        "\n".join(map(json.dumps, rows))
    )  # escaped, as halves of surrogate pairs must be
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=1))
    lines, array = (survives(FORMATS[format], tmp_path / name) for name in ("rows.jsonl", "rows.json"))
    assert [type(item) for _, item in lines] == [type(item) for _, item in array]
    assert [item for _, item in lines if isinstance(item, Refused)] == [
        item for _, item in array if isinstance(item, Refused)
    ]
    assert {line for line, _ in lines} == {1, 2}
    survives(TABLE, tmp_path / "rows.jsonl")
    sniffed(tmp_path / "rows.jsonl")


@given(
    name=st.sampled_from(["f.jsonl", "f.json", "f.csv", "f.tsv.gz", "f.txt", "f.parquet"]),
    content=st.binary(max_size=300),
    damages=st.lists(cuts, max_size=3),
)
@ANYTHING
def test_any_bytes_under_any_name_are_told_from_data(
    tmp_path: Path, name: str, content: bytes, damages: list[tuple[float, int, bytes]]
):
    path = tmp_path / name
    for whole in (
        content,
        damaged(b'[{"instruction": "a", "output": "b"}]', damages),
        damaged(b'"a",b\r\n"x\n""y",\r\n', damages),
    ):
        path.write_bytes(gzip.compress(whole) if name.endswith("gz") else whole)
        sniffed(path)
        survives(TABLE, path)
        survives(FORMATS["text"], path)
        survives(FORMATS["alpaca"], path)


@given(damages=st.lists(cuts, min_size=1, max_size=4))
@settings(parent=ANYTHING, max_examples=EXAMPLES // 4)
def test_a_damaged_table_archive_or_dataset_is_told(tmp_path: Path, damages: list[tuple[float, int, bytes]]):
    rows = [SAMPLES["alpaca"]] * 50
    if not (tmp_path / "saved").exists():
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "whole.parquet")
        Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
        (tmp_path / "whole.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    for name in ("whole.parquet", "whole.gz"):
        (tmp_path / f"cut.{name}").write_bytes(damaged((tmp_path / name).read_bytes(), damages))
        sniffed(tmp_path / f"cut.{name}")
        survives(FORMATS["alpaca"], tmp_path / f"cut.{name}")
    for file in sorted((tmp_path / "saved").iterdir()):
        copied = Path(
            tempfile.mkdtemp(dir=tmp_path)
        )  # a new one each time: the bytes of the last may still be mapped
        shutil.copytree(tmp_path / "saved", copied, dirs_exist_ok=True)
        (copied / file.name).unlink()
        (copied / file.name).write_bytes(damaged(file.read_bytes(), damages))
        survives(FORMATS["alpaca"], copied)


ranks = st.none() | st.integers(-3, 50) | st.sampled_from([True, "1", 1.5, 10**30])


@given(given=st.lists(ranks, min_size=1, max_size=40))
@ANYTHING
def test_ranks_with_gaps_ties_and_nonsense_keep_their_order_or_are_refused(tmp_path: Path, given: list[Any]):
    tree = copy.deepcopy(SAMPLES["open-assistant"])
    tree["prompt"]["replies"] = [
        {"message_id": f"m{n}", "text": f"{n}", "role": "assistant", "rank": rank}
        for n, rank in enumerate(given)
    ]
    items = imported(tmp_path, "open-assistant", tree)
    if any(rank is not None and type(rank) is not int for rank in given):
        assert [type(item) for item in items] == [Refused]
    elif len(given) == 1:
        assert [type(item) for item in items] == [Prompt], "one answer is no ranking"
    elif None in given:
        assert items[1:] == [Refused("two or more answers, not all of them ranked")]
    else:
        made = ranked(items[1])
        assert [text for text, _ in made] == [str(n) for n in range(len(given))]
        assert all(
            (a < b) == (x < y)
            for a, (_, x) in zip(given, made, strict=True)
            for b, (_, y) in zip(given, made, strict=True)
        )
        assert {rank for _, rank in made} == set(range(1, len(set(given)) + 1))
    own = {
        "id": "r",
        "prompt": SAMPLES["own"],
        "responses": [str(n) for n in range(len(given))],
        "ranks": given,
    }
    own |= {"labeler": "l", "kind": "person", "policy": "p", "round": "x"}
    [item] = imported(tmp_path, "own", own)
    whole = (
        all(type(rank) is int for rank in given)
        and sorted(set(given)) == list(range(1, len(set(given)) + 1))
        and len(given) > 1
    )
    assert isinstance(item, Ranking) if whole else isinstance(item, Refused)


def chain(depth: int) -> dict[str, Any]:
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
    """A long conversation that ends in thousands of answers, each followed up."""
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
BOMBS: dict[str, Any] = {
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
    "a chain of answers": json.dumps(chain(120)).encode(),
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
    "a chain of answers": "open-assistant",
}
READ_BY |= {
    "an endless chain": "open-assistant",
    "a bush": "open-assistant",
    "ranked things": "label-studio",
    "one string": "prompts",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_megabyte_of_anything_takes_no_more_than_seconds(tmp_path: Path, name: str):
    for suffix in ("jsonl", "csv", "txt"):
        (tmp_path / f"bomb.{suffix}").write_bytes(BOMBS[name])
        sniffed(tmp_path / f"bomb.{suffix}")
    survives(FORMATS[READ_BY.get(name, "alpaca")], tmp_path / "bomb.jsonl")
    survives(FORMATS["text"], tmp_path / "bomb.txt")
    survives(TABLE, tmp_path / "bomb.csv")


def test_a_line_of_fifty_megabytes_costs_no_more_memory_than_the_bound(tmp_path: Path):
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
