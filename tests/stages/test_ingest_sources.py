"""What ingest says of its sources, and what it makes of awkward names, links and characters."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from alignloop.data.record_files import read
from alignloop.params.binding import bind
from alignloop.records import Demonstration
from alignloop.stages.ingest import ingest
from tests.stages.test_ingest import FORGOTTEN, PAIR, PROBLEM, SAME, drop, params, refusal, run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    drop(tmp_path, "chats/test.jsonl", PAIR)
    drop(tmp_path, "sums.jsonl", PROBLEM)
    drop(tmp_path, "book.txt", "A book.\n")
    return tmp_path


def test_the_console_says_what_each_source_was_taken_for_and_what_it_gave(root: Path):
    drop(root, "chats/test.jsonl", PAIR, SAME)
    work = bind(ingest, params(max_refused=0.5))
    notes = [
        each.note
        for each in work(root / "sources", FORGOTTEN, root / "raw", root / "ingest.json")
        if each.note
    ]
    assert notes == [
        "book.txt: read as text: 1 documents",
        "chats/test.jsonl: read as hh-rlhf: 1 prompts, 1 rankings, 1 refused",
        "sums.jsonl: read as gsm8k: 1 prompts, 1 demonstrations",
    ]


@pytest.mark.parametrize("name", ["train[1].jsonl", "a*b.jsonl", "[!x]?.jsonl"])
def test_a_file_whose_name_is_a_pattern_is_found_by_its_name(root: Path, name: str):
    drop(root, name, {"prompt": "Hi?", "completion": "Hi!"})
    drop(root, f"deep/{name}", {"prompt": "Ho?", "completion": "Ho!"})
    counts = run(root, formats={name: "trl"}, licences={name: "MIT", "*": "unknown-accepted"})
    assert counts["licences"] == {"MIT": 2, "unknown-accepted": 3}


def test_a_link_to_a_folder_stops_the_stage_by_name_and_so_do_all_files_of_no_known_format(root: Path):
    drop(root, "odd.jsonl", {"a": 1})
    drop(root, "strange.jsonl", {"b": 1})
    text = refusal(root)
    assert "odd.jsonl:1: no known format" in text
    assert "strange.jsonl:1: no known format" in text
    (root / "elsewhere").mkdir()
    (root / "sources" / "hh").symlink_to(root / "elsewhere")
    assert "sources/hh: is a link to a folder" in refusal(root)


def test_a_link_to_a_file_is_read_and_the_console_and_the_report_name_where_it_leads(root: Path):
    (root / "disk").mkdir()
    (root / "sources" / "sums.jsonl").rename(root / "disk" / "far.jsonl")
    (root / "sources" / "sums.jsonl").symlink_to(root / "disk" / "far.jsonl")
    work = bind(ingest, params())
    notes = [each.note for each in work(root / "sources", FORGOTTEN, root / "raw", root / "ingest.json")]
    link = f"a link to {root / 'disk' / 'far.jsonl'}"
    assert f"sums.jsonl ({link}): read as gsm8k: 1 prompts, 1 demonstrations" in notes
    report = json.loads((root / "raw" / "sources.json").read_text())
    assert [each.get("link") for each in report] == [None, None, str(root / "disk" / "far.jsonl")]
    (root / "disk" / "far.jsonl").unlink()
    shutil.rmtree(root / "raw")
    (root / "ingest.json").unlink()
    assert "sums.jsonl: is a link to" in refusal(root)


def test_deleted_messages_are_refused_and_counted_but_do_not_stop_the_stage(root: Path):
    message = {"role": "assistant", "parent_id": "m", "text": "Hi!"}
    rows = [
        {"message_id": "m", "parent_id": None, "role": "prompter", "text": "Hi?"},
        {**message, "message_id": "a", "rank": 0},
        {**message, "message_id": "b", "rank": 1},
        {**message, "message_id": "c", "rank": None, "deleted": True},
    ]
    drop(root, "trees.jsonl", *rows)
    total = run(root)["sources"]["trees.jsonl (open-assistant-messages)"]
    assert (total["rankings"], total["refused"], total["withdrawn"]) == (1, 1, 1)
    shutil.rmtree(root / "raw")
    (root / "ingest.json").unlink()
    drop(root, "trees.jsonl", *rows, {**message, "message_id": "lost", "parent_id": "nowhere"})
    assert "2 of 4 records of format open-assistant-messages are refused" in refusal(root)


def test_no_cell_of_the_refused_rows_is_a_formula(root: Path):
    drop(root, '=HYPERLINK("x").jsonl', PAIR, SAME)
    run(root, max_refused=0.9)
    with (root / "raw" / "refused.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[1] == ['\'=HYPERLINK("x").jsonl', "2", "chosen and rejected are the same"]
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


def test_nul_characters_are_taken_out_and_counted_and_a_text_of_nothing_else_is_refused(root: Path):
    rows = [
        {"prompt": "a\0b \\u0000", "completion": "\0yes"},
        {"prompt": "c \\u0000", "completion": "as it is"},
        {"prompt": "d", "completion": "\0\0"},
    ]
    drop(root, "nul.jsonl", *rows)
    counts = run(root, max_refused=0.5)["sources"]["nul.jsonl (trl)"]
    assert counts["changed: NUL characters taken out"] == 1
    assert counts["refused: nothing but NUL characters in a text"] == 1
    found = read(root / "raw" / "demonstrations.jsonl", Demonstration)
    texts = [message.content for each in found for message in each.messages if each.source == "nul.jsonl"]
    assert texts == ["ab \\u0000", "yes", "c \\u0000", "as it is"]
