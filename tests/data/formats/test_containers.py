"""Files as spreadsheets and editors leave them: marks, delimiters, empty ends, rows under a key."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow.parquet import write_table

from alignloop.data.formats import FORMATS, containers
from alignloop.data.formats.importer import Refused
from alignloop.data.formats.refused_rows import LONGEST
from alignloop.data.formats.sniffing import sniff
from alignloop.data.input_files import DataError
from alignloop.lineage.row_removal import remove_rows
from tests.data.formats.samples import SAMPLES, read_items, turns_of

ROW = {"instruction": "Hi?", "output": "Hi, you!"}


def rows_of(path: Path) -> list[Any]:
    return [row for _, row in containers.read(path)]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("stated", [False, True])
def test_a_table_of_any_spreadsheet_is_read(tmp_path: Path, mark: str, end: str, sign: str, stated: bool):
    lines = [f"sep={sign}"] if stated else []
    lines += [f"instruction{sign}output", f'Hi?{sign}"Hi, you!"', f'Ho;, ?{sign}"Ho!"' if sign == "|" else ""]
    (tmp_path / "rows.csv").write_bytes((mark + end.join(lines) + end).encode())
    assert sniff(tmp_path / "rows.csv") == "alpaca"
    assert rows_of(tmp_path / "rows.csv")[0] == ROW
    assert turns_of(read_items(tmp_path / "rows.csv", "alpaca")[0]) == ["user: Hi?", "assistant: Hi, you!"]


@pytest.mark.parametrize("end", ["\n", "\n\n", "\r\n \r\n\t\r\n"])
def test_empty_lines_at_the_end_count_for_nothing(tmp_path: Path, end: str):
    (tmp_path / "rows.jsonl").write_bytes(f"{json.dumps(ROW)}{end}".encode())
    assert rows_of(tmp_path / "rows.jsonl") == [ROW]
    [piece] = containers.line_pieces(tmp_path / "rows.jsonl")
    assert [row for _, row in containers.piece_rows(piece)] == [ROW]
    (tmp_path / "rows.csv").write_bytes(f'instruction,output\nHi?,"Hi, you!"{end}'.encode().rstrip(b" \t"))
    assert rows_of(tmp_path / "rows.csv")[0] == ROW


def test_a_table_may_end_in_rows_of_empty_cells_but_not_have_them_inside(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("instruction,output\nHi?,Hi!\n,\n\nHo?,Ho!\n,\n\n")
    found = rows_of(tmp_path / "rows.csv")
    assert [isinstance(row, Refused) for row in found] == [False, True, True, False]


WRAPPED = {
    "indented": json.dumps({"version": "1.0", "data": [ROW, ROW]}, indent=1),
    "another key": json.dumps({"n": 2, "meta": {"a": 1}, "tags": ["x"], "anything": [ROW, ROW]}, indent=2),
    "on one line": json.dumps({"data": [ROW, ROW]}),
    "rows on lines": '{"data": [\n' + json.dumps(ROW) + ",\n" + json.dumps(ROW) + "\n]}",
    "a split": json.dumps({"train": [ROW, ROW]}),
    "nested before it": json.dumps({"info": {"a": {"b": [{"c": 1}]}}, "data": [ROW, ROW]}, indent=1),
    "the dataset viewer": json.dumps(
        {
            "features": [{"name": "output", "type": {"dtype": "string"}}],
            "rows": [{"row_idx": place, "row": ROW, "truncated_cells": []} for place in (0, 1)],
        }
    ),
    "more after it": json.dumps({"rows": [ROW, ROW], "end": {"n": [1, 2]}}, indent=1),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_rows_in_an_array_under_a_key_are_read_with_their_lines(tmp_path: Path, name: str):
    path = tmp_path / "rows.json"
    path.write_text(WRAPPED[name])
    assert sniff(path) == "alpaca"
    assert rows_of(path) == [ROW, ROW]
    lines = [line for line, _ in containers.read(path)]
    assert all("{" in path.read_text().split("\n")[line - 1] for line in lines)
    if lines[0] != lines[1]:
        assert remove_rows(path, {lines[0]})
        assert rows_of(path) == [ROW]


def test_two_arrays_of_rows_or_a_broken_one_are_an_error(tmp_path: Path):
    for text in (
        json.dumps({"data": [ROW], "test": [ROW]}, indent=1),
        json.dumps({"data": [ROW, ROW]}, indent=1)[:-12],
    ):
        (tmp_path / "rows.json").write_text(text)
        with pytest.raises(DataError, match=r"rows\.json:[0-9]+: "):
            rows_of(tmp_path / "rows.json")


@pytest.mark.parametrize("format", ["trl", "sharegpt", "argilla", "taskmaster", "squality", "label-studio"])
def test_a_row_that_holds_lists_of_objects_is_a_row(tmp_path: Path, format: str):
    (tmp_path / "rows.jsonl").write_text(json.dumps(SAMPLES[format]) + "\n")
    assert sniff(tmp_path / "rows.jsonl") == format
    assert list(FORMATS[format].read(tmp_path / "rows.jsonl", "s"))
    assert rows_of(tmp_path / "rows.jsonl") == [SAMPLES[format]]


ENCODED = {
    "utf-16": "utf-16",
    "utf-16, big-endian": "utf-16-be",
    "utf-32": "utf-32",
    "utf-8 with a mark": "utf-8-sig",
}
TEXTS = {
    "rows.csv": 'instruction;output\r\nHi?;"Hi, you!"\r\n',
    "rows.tsv": "instruction\toutput\nHi?\tHi, you!\n",
    "rows.jsonl": json.dumps(ROW) + "\n",
    "rows.json": json.dumps([ROW], indent=1),
    "ROWS.CSV": 'instruction,output\nHi?,"Hi, you!"\n',
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("encoding", ENCODED)
def test_a_text_in_any_unicode_encoding_with_a_mark_is_read(
    tmp_path: Path, encoding: str, name: str, packed: bool
):
    mark = b"\xfe\xff" if encoding == "utf-16, big-endian" else b""
    content = mark + TEXTS[name].encode(ENCODED[encoding])
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert sniff(path) == "alpaca"
    assert rows_of(path) == [ROW]


def test_a_long_text_in_utf16_is_read_in_parts_and_a_broken_one_is_an_error(tmp_path: Path):
    rows = [{"instruction": f"猫 {number} \U0001f600", "output": "x" * 5000} for number in range(50)]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-16")
    (tmp_path / "rows.jsonl").write_bytes(content)
    assert rows_of(tmp_path / "rows.jsonl") == rows
    (tmp_path / "rows.jsonl").write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"rows\.jsonl: is not UTF-16, as its byte-order mark says"):
        rows_of(tmp_path / "rows.jsonl")


def test_the_index_that_pandas_writes_and_spaces_in_a_header_count_for_nothing(tmp_path: Path):
    for header in (
        ",instruction, output",
        "Unnamed: 0,instruction,output ",
        "__index_level_0__,instruction,output",
    ):
        (tmp_path / "rows.csv").write_text(f'{header}\n0,Hi?,"Hi, you!"\n')
        assert sniff(tmp_path / "rows.csv") == "alpaca"
        assert turns_of(read_items(tmp_path / "rows.csv", "alpaca")[0])[0] == "user: Hi?"
    (tmp_path / "rows.csv").write_text("instruction;output;;\na;b;;\nc;d;;e\n")
    first, second = read_items(tmp_path / "rows.csv", "alpaca")
    assert turns_of(first) == ["user: a", "assistant: b"]
    assert second == Refused("this format does not read 'column 4', which would be lost")


def test_a_small_table_of_huge_rows_is_read_in_little_memory(tmp_path: Path):
    """In a process of its own: 256 rows of 4 MiB are some kilobytes in the file."""
    row = pyarrow.array(["x" * 2**22] * 256, pyarrow.large_string())
    write_table(pyarrow.table({"prompt": row}), tmp_path / "bomb.parquet", compression="zstd")
    assert (tmp_path / "bomb.parquet").stat().st_size < 100_000
    code = (
        "from pathlib import Path\n"
        "from alignloop.data.formats import containers\n"
        "import pyarrow.parquet\n"
        "status = Path('/proc/self/status')\n"
        "def most(): return int(status.read_text().split('VmHWM:')[1].split()[0]) // 1024\n"
        "before = most()\n"
        f"rows = sum(1 for _ in containers.read(Path({str(tmp_path / 'bomb.parquet')!r})))\n"
        "print(rows, most() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows, grown = map(int, done.stdout.split())
    assert rows == 256
    assert grown < 600, "MiB, of 1,024 in all"


def test_a_row_of_a_table_that_is_too_long_is_refused_and_its_neighbours_are_read(tmp_path: Path):
    rows = ["short", "x" * (LONGEST + 1), "short too"]
    write_table(
        pyarrow.table({"text": pyarrow.array(rows, pyarrow.large_string())}), tmp_path / "long.parquet"
    )
    found = list(containers.read(tmp_path / "long.parquet"))
    assert found == [
        (1, {"text": "short"}),
        (2, Refused("a row of more than 16 MiB")),
        (3, {"text": "short too"}),
    ]
