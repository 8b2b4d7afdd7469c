"""Every format is recognised in every container, and the same rows give the same records from each."""

import gzip
import json
import re
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Dataset, DatasetDict

from alignloop.data.formats import FORMATS, containers
from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.sniffing import glance, sniff
from alignloop.data.input_files import DataError
from alignloop.records import Ranking, Record
from tests.data.formats.samples import KINDS, SAMPLES, read_items, record_of, write


def test_there_is_a_sample_of_every_format_that_is_guessed_by_one_row():
    assert set(SAMPLES) == set(FORMATS) - {"text", "sharegpt-pieces", "helpsteer2", "open-assistant-messages"}


@pytest.mark.parametrize("format", SAMPLES)
def test_a_format_is_recognised_and_imported_from_json_lines_an_array_and_gzip(tmp_path: Path, format: str):
    write(tmp_path / "stories.jsonl", [SAMPLES["squality"]])
    lines = write(tmp_path / "rows.jsonl", [SAMPLES[format]] * 2)
    array = write(tmp_path / "rows.json", [SAMPLES[format]] * 2, array=True)
    (tmp_path / "rows.json.gz").write_bytes(gzip.compress(array.read_bytes()))
    for path in (lines, array, tmp_path / "rows.json.gz"):
        assert sniff(path) == format
        assert glance(path).endswith(f"which looks like {format}")
    records = [record_of(item) for item in read_items(lines, format)]
    assert type(records[0]) is KINDS.get(format, Ranking)
    ids = {each.id for each in records if hasattr(each, "id")}  # type: ignore[attr-defined]
    assert len(records) == len(ids) * 2, "the same row twice"
    assert read_items(array, format) == [as_source(item, "rows.json") for item in read_items(lines, format)]


def as_source(item: Record | Changed, name: str) -> Record | Changed:
    """The item with the name of another source file."""
    if isinstance(item, Changed):
        return item._replace(record=as_source(item.record, name))
    return type(item).model_validate_json(item.model_dump_json().replace("rows.jsonl", name))


TABULAR = sorted(
    set(SAMPLES) - {"prompts", "squality-rankings"}
)  # rows are objects, with the same fields in all


@pytest.mark.parametrize("format", TABULAR)
def test_the_same_rows_are_imported_from_parquet(tmp_path: Path, format: str):
    expected = [
        record_of(item) for item in read_items(write(tmp_path / "rows.jsonl", [SAMPLES[format]] * 3), format)
    ]
    pq.write_table(pa.Table.from_pylist([SAMPLES[format]] * 3), tmp_path / "rows.parquet")
    assert sniff(tmp_path / "rows.parquet") == format
    assert [record_of(item) for item in read_items(tmp_path / "rows.parquet", format)] == [
        as_source(each, "rows.parquet") for each in expected
    ]


def test_the_same_rows_are_imported_from_saved_datasets_with_and_without_splits(tmp_path: Path):
    row = SAMPLES["ultrafeedback"]  # lists of objects in objects
    expected = [
        record_of(item) for item in read_items(write(tmp_path / "rows.jsonl", [row] * 3), "ultrafeedback")
    ]
    Dataset.from_list([row] * 3).save_to_disk(tmp_path / "saved")
    DatasetDict({"train": Dataset.from_list([row]), "test": Dataset.from_list([row] * 2)}).save_to_disk(
        tmp_path / "splits"
    )
    for path in (tmp_path / "saved", tmp_path / "splits"):
        assert sniff(path) == "ultrafeedback"
        assert [record_of(item) for item in read_items(path, "ultrafeedback")] == [
            as_source(each, path.name) for each in expected
        ]
        assert [line for line, _ in FORMATS["ultrafeedback"].read(path, "s")] == [1, 2, 3], (
            "rows are numbered through all splits"
        )


def test_the_line_of_an_array_element_is_where_it_begins(tmp_path: Path):
    path = write(tmp_path / "rows.json", [SAMPLES["alpaca"], "no object", SAMPLES["alpaca"]], array=True)
    lines = path.read_text().split("\n")
    found = [(line, type(item).__name__) for line, item in FORMATS["alpaca"].read(path, "rows.json")]
    assert [kind for _, kind in found] == ["Demonstration", "Refused", "Demonstration"]
    assert [lines[line - 1].strip()[:1] for line, _ in found] == ["{", '"', "{"]


def test_a_row_that_cannot_be_read_is_refused_and_the_next_one_is_read(tmp_path: Path):
    good = json.dumps(SAMPLES["alpaca"]).encode()
    bad = [
        b"{",
        b"",
        b"\xff\xfe",
        good + b"\0",
        b'{"instruction":1,"instruction":2}',
        b'{"output":NaN}',
        b'{"output":1e999}',
        b"[" * 100_000,
    ]
    bad += [
        b"1" * 5000,
        b'"' + b"x" * (16 * 2**20) + b'"',
        b'{"instruction":"\\ud800","output":"x"}',
        b"null",
        b"7",
        b'"text"',
        b"[]",
    ]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([good, *bad, good]))
    items = list(FORMATS["alpaca"].read(path, "rows.jsonl"))
    assert [line for line, _ in items] == list(range(1, len(bad) + 3))
    assert [isinstance(item, Refused) for _, item in items] == [False, *[True] * len(bad), False]
    reasons = [item.reason for _, item in items if isinstance(item, Refused)]
    assert reasons[:9] == [
        "broken JSON: Expecting property name enclosed in double quotes",
        "an empty line",
        "not UTF-8",
        "NUL bytes: not UTF-8, or no text",
        "a key stands twice in one object",
        "NaN is not JSON",
        "a number that is too large",
        "JSON nested too deeply",
        "a number of thousands of digits",
    ]
    assert reasons[9] == "a line of more than 16 MiB"
    assert not any(re.search("ud800|text'", reason) for reason in reasons), "a reason quotes no content"


@pytest.mark.parametrize("half", [r"\ud83d", r"\uDE00", r"\ude00\ud83d", r"\ud83d\ud83d\ude00", r"\\\ud83d"])
@pytest.mark.parametrize(
    ("format", "word"), [("hh-rlhf", "Hi?"), ("sharegpt", "abc_0"), ("fastchat", "writing"), ("own", "user")]
)
def test_a_row_with_half_a_surrogate_pair_is_refused_and_the_next_one_is_read(
    tmp_path: Path, format: str, word: str, half: str
):
    good = json.dumps(SAMPLES[format])
    lines = [good, good.replace(word, half), f'{good[:-1]}, "more": [["{half} x"]]}}', good]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    (tmp_path / "rows.json").write_text("[" + ",\n".join(lines) + "]")
    for name in ("rows.jsonl", "rows.json"):
        before, *refused, after = FORMATS[format].read(tmp_path / name, name)
        assert refused == [(line, Refused("half a surrogate pair")) for line in (2, 3)]
        assert (before[0], after[0]) == (1, 4)
        assert record_of(before[1]) == record_of(after[1])


@pytest.mark.parametrize(
    "whole",
    [r"\ud83d\ude00", r"\uD83D\uDE00\ud83d\ude00", r"\\ud83d", r"\\\\uDE00", r"\ud7ff\ue000", "\U0001f600"],
)
def test_whole_surrogate_pairs_and_escapes_that_only_look_like_half_of_one_are_kept(
    tmp_path: Path, whole: str
):
    (tmp_path / "rows.jsonl").write_text(f'"{whole}"\n', encoding="utf-8")
    assert list(containers.read(tmp_path / "rows.jsonl")) == [(1, json.loads(f'"{whole}"'))]


def read_and_sniff(path: Path) -> str:
    """Read the file to its end, and guess its format."""
    list(containers.read(path))
    return sniff(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"a": 1}', "rows.json:1: broken JSON: a comma or the end of the array must be here"),
        (
            b'[{"a": 1},\n {"a": "cut',
            "rows.json:2: broken JSON, or a truncated file, in the value that begins here",
        ),
        (b"[{}]\n[{}, {}]\n{}", "rows.json:1: no known format: its first row is a bare list"),
        (b"[{}]\n{}", "rows.json:2: more follows the end of the array"),
        (b'[{"a": 1}, \x00]', "rows.json:1: NUL bytes from here on"),
        (b'[\n{"a": 1},\n"\xff"]', "rows.json:3: not valid UTF-8 from here on"),
        (b"[" * 100_000, "rows.json:1: JSON nested too deeply"),
        (b'["' + b"x" * (17 * 2**20), "rows.json:1: a value of more than 16 MiB begins here"),
        ("[{}]".encode("utf-16")[:-1], "rows.json: is not UTF-16, as its byte-order mark says"),
        ('{"a": 1}'.encode("utf-16-le"), "rows.json:1: no format can be recognised: NUL bytes"),
        (gzip.compress(b"[{}]" * 900, mtime=0)[:-9], "rows.json: the gzip stream is truncated"),
        (b"PAR1 and no more", "rows.json: is not a complete Parquet file"),
        (b"", "rows.json: the file is empty"),
    ],
)
def test_a_file_in_which_no_next_row_can_be_found_is_an_error_with_place_and_fault(
    tmp_path: Path, content: bytes, message: str
):
    (tmp_path / "rows.json").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_and_sniff(tmp_path / "rows.json")
    assert message in str(caught.value)


def test_a_truncated_parquet_file_or_dataset_is_an_error(tmp_path: Path):
    pq.write_table(pa.Table.from_pylist([SAMPLES["alpaca"]] * 3), tmp_path / "rows.parquet")
    whole = (tmp_path / "rows.parquet").read_bytes()
    (tmp_path / "rows.parquet").write_bytes(whole[: len(whole) // 2])
    Dataset.from_list([SAMPLES["alpaca"]]).save_to_disk(tmp_path / "saved")
    next((tmp_path / "saved").glob("*.arrow")).write_bytes(b"no arrow")
    for name, message in (
        ("rows.parquet", "is not a complete Parquet file"),
        ("saved", "`datasets` cannot load it"),
    ):
        with pytest.raises(DataError, match=message):
            sniff(tmp_path / name)
    (tmp_path / "saved" / "state.json").write_text("{}")
    with pytest.raises(DataError, match="`datasets` cannot load it"):
        sniff(tmp_path / "saved")


def test_the_size_of_the_parts_in_which_an_array_is_read_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    containers = [
        {"instruction": f'猫\u2028 \\ " {"x" * number}', "output": "1", "n": [1, {"a": [-1.5e3]}]}
        for number in range(40)
    ]
    path = write(tmp_path / "rows.json", containers, array=True)
    whole = read_items(path, "alpaca")
    assert len(whole) == 40
    for part in (1, 7, 64):
        monkeypatch.setattr("alignloop.data.formats.json_array.CHUNK", part)
        assert read_items(path, "alpaca") == whole


MISTAKEN = {  # rows that resemble a format but hold more than it reads: a guess would lose data
    "a prompt with a response": {"prompt": "Hi?", "response": "Hi!"},
    "an instruction with a second output": {"instruction": "Hi?", "output": "Hi!", "worse": "No."},
    "a preference with margins of several": {"prompt": "Hi?", "chosen": "a", "rejected": "b", "third": "c"},
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_the_format_of_a_row_with_more_fields_than_the_format_reads_is_not_guessed(tmp_path: Path, name: str):
    with pytest.raises(DataError, match="no known format: its first row is an object with"):
        sniff(write(tmp_path / "rows.jsonl", [MISTAKEN[name]]))


@pytest.mark.parametrize("file", ["dataset_info.json", "state.json"])
@pytest.mark.parametrize("content", [b"[" * 100_000, b"{}", b"", b"[1]", b"\xff\xfe", b'{"features": 3}'])
def test_a_saved_dataset_with_a_broken_file_is_one_message(tmp_path: Path, file: str, content: bytes):
    Dataset.from_list([{"instruction": "a", "output": "b"}]).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / file).write_bytes(content)
    with suppress(DataError):  # what `datasets` can still load is read
        list(FORMATS["alpaca"].read(tmp_path / "saved", "saved"))


def test_every_format_gives_labelers_that_the_gate_knows(tmp_path: Path):
    params = yaml.safe_load((Path(__file__).parents[3] / "params.yaml").read_text(encoding="utf-8"))
    known = params["validate"]["labelers"]
    write(tmp_path / "stories.jsonl", [SAMPLES["squality"]])
    rows = {**SAMPLES, "helpsteer2": None}
    for format, row in rows.items():
        given = [row] if row else [{"prompt": "A?", "response": text, "helpfulness": 1} for text in "ab"]
        for item in read_items(write(tmp_path / "rows.jsonl", given), format):
            labeler = getattr(record_of(item), "labeler", None)
            assert labeler is None or any(fnmatch(labeler, pattern) for pattern in known), (format, labeler)
