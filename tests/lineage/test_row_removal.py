"""Rows are removed from a source in any container; the others stay as they were."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from datasets import Dataset, DatasetDict
from pyarrow.parquet import read_table, write_table

from alignloop.data.formats import containers
from alignloop.data.formats.importer import Changed
from alignloop.data.formats.sources import find_sources
from alignloop.lineage import row_removal
from alignloop.lineage.forget import User, lines_of_user
from alignloop.records import Ranking

ROWS = [{"a": number, "b": f'text "{number}"\u2028, and more'} for number in range(6)]


def values(path: Path) -> list[Any]:
    return [row for _, row in containers.read(path)]


def test_lines_of_text_stay_byte_by_byte_and_gzip_stays_gzip(tmp_path: Path):
    lines = [json.dumps(row, indent=None, separators=(" ,", " : ")).encode() + b"\r\n" for row in ROWS]
    for path, pack in ((tmp_path / "a.jsonl", bytes), (tmp_path / "a.jsonl.gz", gzip.compress)):
        path.write_bytes(pack(b"".join(lines)))
        assert row_removal.remove_rows(path, {1, 4})
        data = path.read_bytes()
        assert (gzip.decompress(data) if path.suffix == ".gz" else data) == b"".join(
            lines[place] for place in (1, 2, 4, 5)
        )


def test_a_row_of_a_table_is_removed_with_all_its_lines(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"two\nlines"\n2,"one"\n\n3,"again\ntwo"\n')
    begun = {row["a"]: line for line, row in containers.read(path) if isinstance(row, dict)}
    assert row_removal.remove_rows(path, {begun["1"], begun["3"]})
    assert path.read_text() == 'a,b\n2,"one"\n\n'


class Compared(int):
    """A line number that counts its comparisons."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_removal_from_a_table_takes_time_linear_in_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "1,x\n" * 1000)
    found = [(Compared(line), row) for line, row in containers.read(path)]
    monkeypatch.setattr(containers, "read", lambda path: iter(found))
    assert row_removal.remove_rows(path, {2})
    assert path.read_text() == "a,b\n" + "1,x\n" * 999
    assert Compared.times < 5 * 1000


@pytest.mark.parametrize("indent", [None, 1])
def test_elements_of_an_array_can_be_removed_even_if_they_share_a_line(tmp_path: Path, indent: int | None):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(ROWS, indent=indent))
    assert row_removal.one_row_per_line(path) == (indent is None)
    assert values(path) == ROWS
    begun = [line for line, _ in containers.read(path)]
    assert row_removal.remove_rows(path, {begun[0], begun[3]})
    assert json.loads(path.read_text()) == [ROWS[place] for place in (1, 2, 4, 5)]


def test_rows_of_parquet_and_saved_datasets_are_removed_by_their_numbers(tmp_path: Path):
    table, saved = tmp_path / "a.parquet", tmp_path / "saved"
    write_table(pyarrow.Table.from_pylist(ROWS), table)
    assert row_removal.remove_rows(table, {1, 6})
    assert read_table(table).to_pylist() == ROWS[1:5]
    DatasetDict({"train": Dataset.from_list(ROWS[:4]), "test": Dataset.from_list(ROWS[4:])}).save_to_disk(
        str(saved)
    )
    assert row_removal.remove_rows(saved, {2, 5})
    assert values(saved) == [ROWS[place] for place in (0, 2, 3, 5)]


def test_a_source_of_which_no_row_is_left_is_deleted(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n{}\n")
    assert not row_removal.remove_rows(path, {1, 2})
    assert not path.exists()


def test_all_rows_of_a_record_that_is_made_of_several_are_the_users(tmp_path: Path):
    tree = [
        {"message_id": "m", "parent_id": None, "role": "prompter", "text": "Hi?"},
        {"message_id": "a", "parent_id": "m", "role": "assistant", "text": "Hi!", "rank": 0},
        {"message_id": "b", "parent_id": "m", "role": "assistant", "text": "No.", "rank": 1},
    ]
    names = ("message_id", "parent_id")
    other = [{**row, **{name: f"x{row[name]}" for name in names if row[name]}} for row in tree]
    rated = [
        {"prompt": prompt, "response": text, "helpfulness": 1} for prompt in ("A?", "B?") for text in "ab"
    ]
    for name, rows, mine in (("trees.jsonl", [*tree, *other], {1, 2, 3}), ("rated.jsonl", rated, {1, 2})):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        [source] = [each for each in find_sources(tmp_path, {}, {}, {"*": "MIT"}, {}) if each.name == name]
        items = [item for _, item in source.reader.read(source.path, name)]
        records = [item.record if isinstance(item, Changed) else item for item in items]
        first = next(record.prompt for record in records if isinstance(record, Ranking))
        lines = lines_of_user(source, User(first.user))
        assert lines == mine
        assert row_removal.remove_rows(source.path, lines)
        assert len((tmp_path / name).read_text().splitlines()) == len(rows) - len(mine)
