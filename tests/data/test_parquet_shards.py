"""A set above a certain size is a folder of Parquet shards, and is read like any other."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from alignloop.data import parquet_shards, record_files
from alignloop.data.input_files import DataError
from alignloop.data.set_statistics import size_of
from alignloop.records import Labeling, Message, Origin, Prompt, Ranking, Record, Rollout

TEXT = 'quoted "key":{"a":1} \\ and\u2028a line,\nand more 你好 🙂\x7f'


def ranking(number: int) -> Ranking:
    licence = "MIT" if number % 2 else "CC-BY-4.0"
    origin = Origin(licence=licence, sha256="ab" * 32, line=number) if number % 5 else None
    key: Any = [None, {"of": ["a", {"b": None}], "n": 1.5}, {}][number % 3]
    talk = (Message(role="system", content="Be brief."), Message(role="user", content=f"{TEXT} {number}"))
    how = Labeling(
        presented=(1, 0),
        seconds=0.1 + 0.2,
        active_seconds=None,
        guidelines="g",
        ratings=({"overall": 7}, {}),
        about={"category": TEXT},
    )
    return Ranking(
        id=f"r-{number}",
        prompt=Prompt(
            id=f"p-{number}",
            messages=talk[number % 2 :],
            user=f"user-{number % 7}",
            source="s",
            key=key,
            origin=origin,
        ),
        responses=("", TEXT, "third")[: 2 + number % 2],
        ranks=(1, 2, 2)[: 2 + number % 2],
        labeler=f"labeler-{number % 3}",
        kind="person",
        policy="p",
        round="imported",
        origin=origin,
        labeling=how if number % 4 == 0 else None,
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "LARGE", 20_000)
    monkeypatch.setattr(parquet_shards, "GROUP", 4_000)
    monkeypatch.setattr(parquet_shards, "ROWS", 7)


def written(path: Path, records: Iterable[Record]) -> Path:
    record_files.write(path, records)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.usefixtures("small")
def test_a_large_set_is_sharded_under_its_own_name_and_read_back_unchanged(tmp_path: Path):
    records = [ranking(number) for number in range(100)]
    path = written(tmp_path / "set.jsonl", records)
    names = [file.name for file in record_files.files(path)]
    assert names == [f"{number:05d}.parquet" for number in range(len(names))]
    assert len(names) > 2
    assert sorted(each.name for each in tmp_path.rglob("*")) == [*names, "set.jsonl"], (
        "nothing is left behind"
    )
    assert record_files.read(path, Ranking) == records
    assert record_files.files(tmp_path) == record_files.files(path)
    assert sum(record_files.count(file) for file in record_files.files(path)) == 100
    rows = [row for file in record_files.files(path) for _, row in record_files.read_rows(file)]
    assert [Ranking.model_validate_json(json.dumps(row), strict=True) for row in rows] == records


@pytest.mark.usefixtures("small")
def test_a_small_set_stays_json_lines_up_to_the_last_character(tmp_path: Path):
    records = list(map(ranking, range(30)))
    lines = "".join(map(record_files.line_of, records))
    while len(lines) > record_files.LARGE:
        lines = lines.removesuffix(record_files.line_of(records.pop()))
    exact = records[0].model_copy(update={"policy": "p" * (record_files.LARGE - len(lines) + 1)})
    fits, not_any_more = tmp_path / "fits.jsonl", tmp_path / "more.jsonl"
    assert record_files.write(fits, [exact, *records[1:]]) == len(records)
    assert len(fits.read_text(encoding="utf-8")) == record_files.LARGE
    written(not_any_more, [exact.model_copy(update={"policy": f"{exact.policy}p"}), *records[1:]])
    assert not_any_more.is_dir()


@pytest.mark.usefixtures("small")
def test_equal_sets_are_equal_bytes_and_one_form_replaces_the_other(tmp_path: Path):
    records = [ranking(number) for number in range(60)]
    one, two = written(tmp_path / "one.jsonl", records), written(tmp_path / "two.jsonl", iter(records))
    assert contents(one) == contents(two)
    written(one, records[:2])
    assert one.is_file()
    written(one, records)
    assert contents(one) == contents(two)


@pytest.mark.usefixtures("small")
def test_the_statistics_of_a_sharded_set_are_those_of_its_lines(tmp_path: Path):
    records = [ranking(number) for number in range(60)]
    large = size_of(written(tmp_path / "set.jsonl", records))
    (tmp_path / "lines.jsonl").write_text("".join(map(record_files.line_of, records)), encoding="utf-8")
    lines = size_of(tmp_path / "lines.jsonl")
    assert large["files"] > 1
    same = ("records", "labelers", "licences")
    assert {key: large[key] for key in same} == {key: lines[key] for key in same}


def test_records_are_removed_and_the_others_stay_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    records = [ranking(number) for number in range(60)]
    lines = tmp_path / "set.jsonl"
    lines.write_text(
        "".join(map(record_files.line_of, records)).replace('"kind":', '"kind" : '), encoding="utf-8"
    )
    before = lines.read_bytes().splitlines(keepends=True)
    assert record_files.remove_records(lines, lambda row: row["prompt"]["user"] == "user-3") == 9
    assert lines.read_bytes() == b"".join(line for line in before if b'"user-3"' not in line)
    monkeypatch.setattr(record_files, "LARGE", 10_000)
    folder = written(tmp_path / "large.jsonl", records)
    gone = sum(
        record_files.remove_records(file, lambda row: row["prompt"]["user"] == "user-3")
        for file in record_files.files(folder)
    )
    assert gone == 9
    assert record_files.read(folder, Ranking) == [
        record for record in records if record.prompt.user != "user-3"
    ]


@pytest.mark.usefixtures("small")
def test_a_damaged_shard_or_one_of_another_type_is_an_error(tmp_path: Path):
    path = written(tmp_path / "set.jsonl", [ranking(number) for number in range(60)])
    shard = path / "00001.parquet"
    with pytest.raises(
        DataError, match=r"00000.parquet: cannot be read as Parquet: its columns are not those of a Rollout"
    ):
        record_files.read(path, Rollout)
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"00001.parquet: cannot be read as Parquet: .*dvc repro"):
        record_files.read(path, Ranking)


@pytest.mark.usefixtures("small")
def test_an_invalid_record_is_an_error_with_its_shard_and_row(tmp_path: Path):
    records = [ranking(number) for number in range(60)]
    records[3] = records[3].model_copy(update={"ranks": (1, 3, 3)})
    path = written(tmp_path / "set.jsonl", records)
    with pytest.raises(DataError, match=r"00000.parquet:4: Ranking: ranks \[1, 3, 3\] are not a weak order"):
        record_files.read(path, Ranking)


@pytest.mark.usefixtures("small")
def test_a_failed_write_leaves_the_old_set(tmp_path: Path):
    path = written(tmp_path / "set.jsonl", [ranking(1)])
    before = path.read_bytes()

    def broken() -> Iterable[Record]:
        yield from map(ranking, range(60))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        record_files.write(path, broken())
    assert [each.name for each in tmp_path.iterdir()] == ["set.jsonl"]
    assert path.read_bytes() == before
