"""Any input gives valid records, refusals with a reason, or one DataError; never another error or a hang."""

import copy
import gzip
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from alignloop.data.formats import FORMATS
from alignloop.data.formats.importer import Refused
from alignloop.records import Prompt, Ranking
from tests.data.formats.fuzzing import ANYTHING, EXAMPLES, TABLE, cuts, damaged, sniffed, survives
from tests.data.formats.samples import SAMPLES, STORY, import_rows, ranked_responses, write

formats = st.sampled_from(sorted(SAMPLES))


@given(format=formats, damages=st.lists(cuts, min_size=1, max_size=3))
@ANYTHING
def test_damage_in_one_row_is_reported_and_leaves_its_neighbours_unchanged(
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
def test_a_row_with_unexpected_values_gives_a_record_or_is_refused(
    tmp_path: Path, format: str, changes: list[Any]
):
    row = SAMPLES[format]
    for steps, value, remove in changes:
        row = replaced(row, steps, value, remove)
    write(tmp_path / "stories.jsonl", [STORY])
    rows = [SAMPLES[format], row]
    # escaped, as halves of surrogate pairs must be
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
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
def test_arbitrary_bytes_under_any_name_are_refused_or_an_error(
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
def test_a_damaged_table_archive_or_dataset_is_reported(
    tmp_path: Path, damages: list[tuple[float, int, bytes]]
):
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
        copied = Path(tempfile.mkdtemp(dir=tmp_path))  # a new folder: the last one may still be memory-mapped
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
    items = import_rows(tmp_path, "open-assistant", tree)
    if any(rank is not None and type(rank) is not int and rank != "1" for rank in given):
        assert [type(item) for item in items] == [Refused]
    elif len(given) == 1:
        assert [type(item) for item in items] == [Prompt], "one response is no ranking"
    elif None in given:
        assert items[1:] == [Refused("two or more answers, not all of them ranked")]
    else:
        made = ranked_responses(items[1])
        numbers = [int(rank) for rank in given]
        assert [text for text, _ in made] == [str(n) for n in range(len(given))]
        assert all(
            (a < b) == (x < y)
            for a, (_, x) in zip(numbers, made, strict=True)
            for b, (_, y) in zip(numbers, made, strict=True)
        )
        assert {rank for _, rank in made} == set(range(1, len(set(numbers)) + 1))
    own = {
        "id": "r",
        "prompt": SAMPLES["own"],
        "responses": [str(n) for n in range(len(given))],
        "ranks": given,
    }
    own |= {"labeler": "l", "kind": "person", "policy": "p", "round": "x"}
    [item] = import_rows(tmp_path, "own", own)
    whole = (
        all(type(rank) is int for rank in given)
        and sorted(set(given)) == list(range(1, len(set(given)) + 1))
        and len(given) > 1
    )
    assert isinstance(item, Ranking) if whole else isinstance(item, Refused)
