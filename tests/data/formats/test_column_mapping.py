"""A mapping of columns turns any table into records; faults of table and mapping are errors."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alignloop.data.formats.column_mapping import mapped_table
from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.input_files import DataError
from alignloop.records import Demonstration, Document, Prompt, Ranking
from tests.data.formats.samples import ranked_responses, turns_of

PAIR = {"prompt": "q", "responses": ["a", "b"], "kind": "person"}


def read(path: Path, mapping: dict[str, Any]) -> list[Any]:
    return [item for _, item in mapped_table("t*", mapping).read(path, path.name)]


def table(tmp_path: Path, *lines: str, name: str = "t.csv") -> Path:
    (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / name


def test_columns_become_each_kind_of_record(tmp_path: Path):
    path = table(tmp_path, "q,a,b,who,u,c,t,s", "Hi?,Hi!,No.,ann,u7,greeting,2024,Be kind.")
    [document] = read(path, {"text": "q"})
    [prompt] = read(path, {"prompt": "q", "system": "s", "user": "u", "category": "c", "time": "t"})
    [demonstration] = read(path, {"prompt": "q", "answer": "a", "labeler": "who"})
    [ranking] = read(path, {**PAIR, "labeler": "who", "kind": "judge"})
    assert isinstance(document, Document)
    assert document.text == "Hi?"
    assert isinstance(prompt, Prompt)
    assert (turns_of(prompt), prompt.category, prompt.time) == (
        ["system: Be kind.", "user: Hi?"],
        "greeting",
        "2024",
    )
    assert isinstance(demonstration, Demonstration)
    assert (turns_of(demonstration), demonstration.labeler) == (["user: Hi?", "assistant: Hi!"], "ann")
    assert isinstance(ranking, Ranking)
    assert (ranked_responses(ranking), ranking.kind, ranking.labeler) == (
        [("Hi!", 1), ("No.", 2)],
        "judge",
        "ann",
    ), "listed best first"


def test_ranks_are_lowest_first_and_scores_highest_first_and_both_tie(tmp_path: Path):
    path = table(tmp_path, "q\ta\tb\tc\tx\ty\tz", "Hi?\tA\tB\tC\t3\t1\t3", name="t.tsv")
    three = {"prompt": "q", "responses": ["a", "b", "c"], "kind": "person"}
    assert [ranked_responses(item) for item in read(path, {**three, "ranks": ["x", "y", "z"]})] == [
        [("A", 2), ("B", 1), ("C", 2)]
    ]
    assert [ranked_responses(item) for item in read(path, {**three, "scores": ["x", "y", "z"]})] == [
        [("A", 1), ("B", 2), ("C", 1)]
    ]


def test_an_empty_response_counts_if_it_has_a_rank_and_is_dropped_otherwise(tmp_path: Path):
    lines = [
        "q,a,b,c,x,y,z",
        "Hi?,A,,C,1,2,3",
        "Hi?,A,B,,1,2,",
        "Hi?,A,B,C,1,2,",
        "Hi?,A,B,C,1,2,nan",
        "Hi?,A,,,1,,",
        ",A,B,C,1,2,3",
    ]
    mapping = {"prompt": "q", "responses": ["a", "b", "c"], "ranks": ["x", "y", "z"], "kind": "person"}
    whole, left, *refused = read(table(tmp_path, *lines), mapping)
    assert ranked_responses(whole) == [("A", 1), ("", 2), ("C", 3)]
    assert isinstance(left, Changed)
    assert left.changes == ("empty cells without a rank left out",)
    assert ranked_responses(left) == [("A", 1), ("B", 2)]
    assert refused[:2] == [Refused("a rank or score that is missing or no number")] * 2
    assert "responses" in refused[2].reason, "one response is no ranking"
    assert refused[3] == Refused("an empty cell, or one that is no text, where a text must stand")


def test_lists_in_one_column_and_conversations_are_read_from_parquet(tmp_path: Path):
    rows = [
        {"chat": [{"role": "user", "content": "Hi?"}], "answers": ["a", "b"], "scores": [0.5, 1.0]},
        {"chat": [{"role": "user", "content": "Hi?"}], "answers": ["a", "b"], "scores": [0.5, float("nan")]},
        {"chat": [{"role": "user", "content": "Hi?"}], "answers": ["a", "b", "c"], "scores": [0.5, 1.0]},
        {"chat": [{"role": "user", "content": "Hi?"}], "answers": None, "scores": [0.5, 1.0]},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    first, *refused = read(
        tmp_path / "t.parquet",
        {"prompt": "chat", "responses": "answers", "scores": "scores", "kind": "judge"},
    )
    assert turns_of(first) == ["user: Hi?"]
    assert ranked_responses(first) == [("a", 2), ("b", 1)]
    assert [item.reason for item in refused] == [
        "a rank or score that is missing or no number",
        "not as many ranks or scores as responses",
        "no list where the mapping says that a column holds one",
    ]


def test_whole_numbers_and_dates_are_read_as_text_and_other_cells_are_refused(tmp_path: Path):
    day, at = date(2024, 5, 6), datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    cells = {
        "q": ["Hi?"] * 4,
        "u": [17.0, 3e9, None, 17.5],
        "t": [at, at, None, at],
        "d": [day] * 4,
        "l": [[1]] * 4,
    }
    pq.write_table(pa.table(cells), tmp_path / "t.parquet")
    mapping = {"prompt": "q", "user": "u", "time": "t", "category": "d"}
    *kept, refused = read(tmp_path / "t.parquet", mapping)
    assert [(item.time, item.category) for item in kept] == [
        (time, "2024-05-06") for time in (at.isoformat(), at.isoformat(), "")
    ]
    as_text = table(tmp_path, "q,u,t,d", "Hi?,17,,", "Hi?,3000000000,,", "Hi?,,,")
    assert [item.user for item in kept] == [item.user for item in read(as_text, mapping)]
    assert refused == Refused("a cell that is no text, whole number or date, where one of these must stand")
    assert read(tmp_path / "t.parquet", {**mapping, "user": "l"}) == [refused] * 4
    assert read(tmp_path / "t.parquet", {"prompt": "q", "answer": "q", "labeler": "u"})[3] == refused


def test_json_lines_can_be_mapped_too_and_true_is_not_a_text(tmp_path: Path):
    path = table(
        tmp_path, *(json.dumps({"q": "Hi?", "r": answer}) for answer in ("Hi!", True, None)), name="t.jsonl"
    )
    first, *refused = read(path, {"prompt": "q", "answer": "r"})
    assert turns_of(first)[-1] == "assistant: Hi!"
    assert refused == [Refused("an empty cell, or one that is no text, where a text must stand")] * 2


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "map either `text` or `prompt`"),
        ({"text": "q", "prompt": "q"}, "map either `text` or `prompt`"),
        ({"text": "q", "answer": "a"}, "a text has no responses"),
        (
            {"prompt": "q", "answer": "a", "responses": ["b"], "kind": "person"},
            "map either `answer` or `responses`",
        ),
        (
            {"prompt": "q", "responses": ["a", "b"]},
            "`responses` and `kind` (person or judge) belong together",
        ),
        ({**PAIR, "kind": "panel"}, "kind: Input should be 'person' or 'judge'"),
        ({**PAIR, "ranks": ["a", "b"], "scores": ["a", "b"]}, "and either their `ranks` or their `scores`"),
        ({**PAIR, "ranks": ["a"]}, "1 ranks or scores for 2 responses"),
        ({"prompt": "q", "respones": "a"}, "respones: Extra inputs are not permitted"),
    ],
)
def test_an_invalid_mapping_is_an_error(mapping: dict[str, Any], message: str):
    with pytest.raises(DataError) as caught:
        mapped_table("t*", mapping)
    assert "ingest.columns: t*: " in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_column_is_an_error_that_lists_the_present_ones(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"ingest.columns: t\*: .*t.csv has no column 'z', 'y'; it has 'q', 'a'"
    ):
        read(table(tmp_path, "q,a", "x,y"), {"prompt": "z", "answer": "y"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('q,a\n"x,y\n', "t.csv:2: not valid CSV from here on: unexpected end of data"),
        ('q,a\n"x"y,z\n', "t.csv:2: not valid CSV from here on: ',' expected after '\"'"),
        ("q,q\nx,y\n", "t.csv:1: two columns have the same name"),
        ("q,a\nx,\0\n", "t.csv:2: a line of more than 16 MiB, or with NUL bytes"),
    ],
)
def test_invalid_csv_is_an_error_with_its_line(tmp_path: Path, content: str, message: str):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "t.csv", {"prompt": "q", "answer": "a"})
    assert message in str(caught.value)


def test_empty_lines_and_short_rows_of_a_table_are_refused_with_their_lines(tmp_path: Path):
    path = table(tmp_path, "q,a", "x,y", "", '"two\nlines",y', "x")
    items = list(mapped_table("t*", {"prompt": "q", "answer": "a"}).read(path, "t.csv"))
    assert [(line, isinstance(item, Refused)) for line, item in items] == [
        (2, False),
        (3, True),
        (4, False),
        (6, True),
    ]
