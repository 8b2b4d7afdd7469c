"""Statistics of a data set: numbers of records, files and bytes, and the labelers and licences it names."""

import json
from pathlib import Path

from alignloop.data.set_statistics import size_of


def test_records_are_counted_in_jsonl_files_and_bytes_in_all_files(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes("é\u2028\n{}\n".encode())
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.txt").write_bytes(b"one\ntwo\n")
    assert size_of(tmp_path) == {"records": 2, "files": 2, "bytes": 17}
    assert size_of(tmp_path / "deep" / "b.txt") == {"records": 0, "files": 1, "bytes": 8}


def test_labelers_are_those_named_by_records_not_those_mentioned_in_a_text(tmp_path: Path):
    rows = [{"text": 'he wrote "labeler":"mallory"', "labeler": name} for name in ("bob", "ann", "bob")]
    (tmp_path / "set.jsonl").write_text(
        "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    )
    assert size_of(tmp_path)["labelers"] == ["ann", "bob"]


def test_licences_are_those_of_the_records_origins(tmp_path: Path):
    origins = [
        {"origin": {"licence": licence, "sha256": "0", "line": 1}} for licence in ("MIT", "CC-BY-4.0", "MIT")
    ]
    (tmp_path / "set.jsonl").write_text(
        "".join(json.dumps({"text": '"licence":"x"', **row}) + "\n" for row in origins)
    )
    assert size_of(tmp_path)["licences"] == ["CC-BY-4.0", "MIT"]
