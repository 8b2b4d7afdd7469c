"""Numbers as texts, texts as numbers and missing ids, in every format that can hold them."""

import copy
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from alignloop.data.formats.sniffing import sniff
from alignloop.records import Ranking
from tests.data.formats.samples import SAMPLES, import_rows, read_items, record_of, write

TEXTS: dict[str, list[tuple[Any, ...]]] = {  # where a number may stand for a text
    "hh-rlhf": [],
    "trl": [("prompt", 0, "content"), ("chosen", 0, "content")],
    "sharegpt": [("conversations", 1, "value")],
    "alpaca": [("instruction",), ("output",)],
    "dolly": [("instruction",), ("response",)],
    "gsm8k": [("question",)],
    "self-instruct": [("instances", 0, "output"), ("instances", 0, "input")],
    "oasst-qlora": [("output",)],
    "open-assistant": [("prompt", "text"), ("prompt", "replies", 0, "text")],
    "summarize-from-feedback": [("summaries", 0, "text")],
    "webgpt": [("answer_0",), ("question", "full_text")],
    "shp": [("history",), ("human_ref_A",)],
    "ultrafeedback": [
        ("instruction",),
        ("completions", 0, "response"),
        ("completions", 0, "annotations", "honesty", "Rating"),
    ],
    "pandalm": [("instruction",), ("response1",)],
    "tulu": [("prompt",), ("completion_a",)],
    "nectar": [("prompt",), ("answers", 0, "answer")],
    "arena": [("conversation_a", 1, "content")],
    "openai-preference": [("input", "messages", 0, "content"), ("preferred_output", 0, "content")],
    "safe-rlhf": [("prompt",), ("response_0",)],
    "taskmaster": [("utterances", 0, "text")],
    "fastchat": [("turns", 0)],
    "arena-hard": [("prompt",)],
}
NUMBERS: dict[str, list[tuple[Any, ...]]] = {  # where a text may stand for a number
    "open-assistant": [("prompt", "replies", 0, "rank")],
    "summarize-from-feedback": [("choice",)],
    "webgpt": [("score_0",)],
    "shp": [("score_A",), ("labels",)],
    "pandalm": [("annotator1",), ("idx",)],
    "nectar": [("answers", 0, "rank")],
    "safe-rlhf": [("better_response_id",)],
}
IDS: dict[str, list[tuple[Any, ...]]] = {  # ids that only tell rows or users apart
    "sharegpt": [("id",)],
    "open-assistant": [("message_tree_id",), ("prompt", "message_id")],
    "oasst-qlora": [("message_id",)],
    "summarize-from-feedback": [("info", "id")],
    "shp": [("post_id",)],
    "pandalm": [("idx",)],
    "tulu": [("id",)],
    "arena": [("question_id",), ("judge",)],
    "label-studio": [("id",)],
    "label-studio-min": [("annotation_id",)],
    "self-instruct": [("id",)],
    "taskmaster": [("conversation_id",)],
    "fastchat": [("question_id",)],
    "arena-hard": [("uid",)],
    "trl": [("id",)],
    "alpaca": [("id",)],
    "argilla": [("id",), ("external_id",)],
}


def cases(places: dict[str, list[tuple[Any, ...]]]) -> list[tuple[str, tuple[Any, ...]]]:
    return [(format, path) for format, paths in places.items() for path in paths]


def changed(format: str, path: tuple[Any, ...], value: Any) -> tuple[dict[str, Any], Any]:
    """A sample with another value at a place, and what stood there."""
    row = copy.deepcopy(SAMPLES[format])
    part: Any = row
    for step in path[:-1]:
        part = part[step]
    before = part.get(path[-1]) if isinstance(part, dict) else part[path[-1]]
    part[path[-1]] = value(before) if callable(value) else value
    return row, before


@pytest.mark.parametrize(("format", "path"), cases(TEXTS))
@pytest.mark.parametrize("number", [42, 4.5])
def test_a_number_in_the_place_of_a_text_is_that_text(
    tmp_path: Path, format: str, path: tuple[Any, ...], number: float
):
    plain, text = (
        [record_of(item) for item in import_rows(tmp_path, format, changed(format, path, value)[0])]
        for value in (number, str(number))
    )
    assert plain == text


@pytest.mark.parametrize(("format", "path"), cases(NUMBERS))
def test_a_text_in_the_place_of_a_number_is_that_number(tmp_path: Path, format: str, path: tuple[Any, ...]):
    row, number = changed(format, path, str)
    assert row != SAMPLES[format]
    assert type(number) in (int, float)
    assert [record_of(item) for item in import_rows(tmp_path, format, row)] == [
        record_of(item) for item in import_rows(tmp_path, format, SAMPLES[format])
    ]


@pytest.mark.parametrize(("format", "path"), cases(IDS))
@pytest.mark.parametrize("id", [None, 7, "sample_7"])
def test_an_id_may_be_missing_or_a_number(tmp_path: Path, format: str, path: tuple[Any, ...], id: Any):
    rows = [changed(format, path, id)[0], SAMPLES[format]]
    assert sniff(write(tmp_path / "rows.jsonl", rows)) == format
    items = [record_of(item) for item in import_rows(tmp_path, format, *rows)]
    assert len(items) == 2 * len(import_rows(tmp_path, format, SAMPLES[format]))


IN_TABLES = [
    format
    for format, row in SAMPLES.items()
    if isinstance(row, dict) and not any(isinstance(value, dict | list) for value in row.values())
]


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
@pytest.mark.parametrize("format", IN_TABLES)
def test_a_flat_format_is_read_from_a_table_where_all_values_are_texts(
    tmp_path: Path, format: str, name: str
):
    row = SAMPLES[format]
    with (tmp_path / name).open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t" if name.endswith("tsv") else ",")
        table.writerows([list(row), [json.dumps(v) if isinstance(v, bool) else v for v in row.values()]])
    assert sniff(tmp_path / name) == format
    [read] = [record_of(item) for item in read_items(tmp_path / name, format, "rows.jsonl")][:1]
    assert read == record_of(import_rows(tmp_path, format, row)[0])


def test_helpsteers_ratings_and_a_preferences_scores_are_read_from_a_table(tmp_path: Path):
    (tmp_path / "a.csv").write_text("prompt,response,helpfulness,verbosity\nHi?,Hi!,4,1\nHi?,No.,0,2\n")
    (tmp_path / "b.csv").write_text(
        "prompt,chosen,rejected,score_chosen,score_rejected\nHi?,Hi!,No.,4.5,4.5\n"
    )
    for name, format, ranks in (("a.csv", "helpsteer2", (1, 2)), ("b.csv", "trl", (1, 1))):
        assert sniff(tmp_path / name) == format
        [ranking] = [record_of(item) for item in read_items(tmp_path / name, format)]
        assert isinstance(ranking, Ranking)
        assert ranking.ranks == ranks
