"""Who made rankings is read from the records, in lines and shards alike, and nothing simulated is hidden."""

import json
from pathlib import Path
from typing import Any

import pytest

from alignloop.data import record_files
from alignloop.data.ranking_makers import (
    RULES,
    count_makers,
    describe,
    maker_of,
    makers_in_file,
    rules_in,
)
from alignloop.data.set_statistics import size_of
from alignloop.lineage.graph import rankings_text
from alignloop.records import Ranking
from tests.rows import ranking, turns

ORIGIN = {"licence": "MIT", "sha256": "0" * 64, "line": 3}
SOURCE = {"id": "p", "messages": turns("Hi?"), "user": "u", "source": "prefs.jsonl"}
IMPORTED: dict[str, Any] = {"prompt": SOURCE, "origin": ORIGIN, "policy": "trl", "round": "imported"}
MAKERS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "panel", "simulated_by": "gold"}, "simulated (gold)"),
    ({"kind": "panel", "simulated_by": "form"}, "simulated (form)"),
    ({"kind": "panel"}, "simulated (rule not recorded)"),
    ({"kind": "person"}, "people"),
    ({"kind": "judge"}, "a judge model"),
    ({"kind": "person", **IMPORTED}, "imported from prefs.jsonl (trl)"),
    ({"kind": "judge", **IMPORTED}, "a judge model, imported from prefs.jsonl (trl)"),
    (
        {"kind": "panel", "simulated_by": "form", **IMPORTED, "policy": "models/sft", "round": "r1"},
        "simulated (form), imported from prefs.jsonl",
    ),
]


def records() -> list[Ranking]:
    return [
        Ranking.model_validate_json(json.dumps(ranking(number, **fields)))
        for number, (fields, _) in enumerate(MAKERS)
    ]


def test_each_kind_of_ranking_names_its_maker():
    assert [maker_of(record) for record in records()] == [maker for _, maker in MAKERS]


@pytest.mark.parametrize("large", [2**28, 10])
def test_a_file_is_counted_as_its_records_are_in_lines_and_in_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
):
    monkeypatch.setattr(record_files, "LARGE", large)
    made = records() * 3
    record_files.write(tmp_path / "r1.jsonl", made)
    files = record_files.files(tmp_path / "r1.jsonl")
    assert {file.suffix for file in files} == {".jsonl" if large > 10 else ".parquet"}
    counts: dict[str, int] = {}
    for file in files:
        for maker, count in makers_in_file(file).items():
            counts[maker] = counts.get(maker, 0) + count
    assert counts == count_makers(made) == dict.fromkeys((maker for _, maker in MAKERS), 3)
    assert size_of(tmp_path)["rankings_by"] == count_makers(made)
    text = rankings_text(size_of(tmp_path))
    assert text.startswith("; rankings: 12 % simulated (form), 12 % simulated (form), imported from prefs")


def test_lines_that_are_no_rankings_have_no_maker(tmp_path: Path):
    lines = ['{"ranks": [1', '{"ranks": [1, 2], "kind": "essay"}', '["ranks"]', '{"kind": "panel"}']
    (tmp_path / "other.jsonl").write_text("\n".join(lines) + "\n")
    assert makers_in_file(tmp_path / "other.jsonl") == {}
    assert "rankings_by" not in size_of(tmp_path)
    assert rankings_text(size_of(tmp_path)) == ""


def test_shares_name_simulated_makers_first_and_never_read_as_all_or_nothing():
    assert describe({}) == "none"
    assert describe({"simulated (gold)": 7}) == "all simulated (gold)"
    assert describe({"people": 30, "simulated (form)": 10}) == "25 % simulated (form), 75 % people"
    assert describe({"people": 999, "simulated (form)": 1}) == "under 1 % simulated (form), 99 % people"
    many = {f"imported from {n}.jsonl (trl)": 100 for n in range(8)} | {"simulated (form)": 1}
    assert describe(many) == (
        "under 1 % simulated (form), 12 % imported from 0.jsonl (trl), 12 % imported from 1.jsonl (trl), "
        "12 % imported from 2.jsonl (trl), 12 % imported from 3.jsonl (trl), 50 % from 4 more"
    )
    assert describe({"imported from [a](b).jsonl (trl)": 1}) == "all imported from \\[a\\](b).jsonl (trl)"


def test_the_rules_are_those_of_simulated_labelers_only():
    assert rules_in({"simulated (form), imported from x": 1, "people": 2}) == {"form": RULES["form"]}
    assert rules_in({"imported from simulated (gold)": 1}) == {}
