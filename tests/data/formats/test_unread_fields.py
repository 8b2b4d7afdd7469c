"""No importer drops what changes the meaning of a row: it is read, or refused by name."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.sniffing import sniff
from alignloop.records import Demonstration, Prompt
from tests.data.formats.samples import SAMPLES, import_rows, ranked_responses, record_of, turns_of, write

USER, GOOD, BAD = (
    {"role": "user", "content": "Hi?"},
    {"role": "assistant", "content": "Hi!"},
    {"role": "assistant", "content": "No.", "weight": 0},
)
CHATS: dict[str, dict[str, Any]] = {
    "trl": {"messages": [USER, GOOD]},
    "sharegpt": SAMPLES["sharegpt"],
    "alpaca": SAMPLES["alpaca"],
    "transcripts": SAMPLES["transcripts"],
}


@pytest.mark.parametrize("format", CHATS)
@pytest.mark.parametrize("name", ["worse", "tools", "functions", "labels", "margin", "mask"])
def test_an_unknown_field_of_a_row_is_refused_by_its_name(tmp_path: Path, format: str, name: str):
    [item] = import_rows(tmp_path, format, {**CHATS[format], name: "x y z"})
    assert isinstance(item, Refused)
    assert f"'{name}'" in item.reason


@pytest.mark.parametrize("format", CHATS)
def test_metadata_empty_fields_and_a_text_that_is_read_elsewhere_are_no_loss(tmp_path: Path, format: str):
    row = {
        **CHATS[format],
        "source": "web",
        "model_name": "m",
        "created_at": "2024",
        "worse": None,
        "tools": [],
    }
    write(tmp_path / "rows.jsonl", [row])
    assert sniff(tmp_path / "rows.jsonl") == format
    [item] = import_rows(tmp_path, format, row)
    assert isinstance(record_of(item), Demonstration)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every object in a row; of equal parts of a list, the first."""
    if isinstance(value, dict):
        yield path
        for name, part in value.items():
            yield from places(part, (*path, name))
    elif isinstance(value, list):
        yield from places(value[0], (*path, 0)) if value else ()


# objects whose names are values (systems, aspects, questions), and those of which nothing is read
FREE = {
    ("squality-rankings", "questions"),
    ("squality-rankings", "0"),
    ("squality-rankings", "overall"),
    ("argilla", "metadata"),
    ("argilla", "values"),
    ("squality", "metadata"),
    ("taskmaster", "annotations"),
    ("argilla", "responses"),
    ("argilla", "preference"),
    ("argilla", "value"),
    ("label-studio", "result"),
    ("label-studio", "value"),
    ("webgpt", "quotes_0"),
    ("webgpt", "quotes_1"),
}


def inside(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


OBJECTS = [
    (format, path)
    for format in sorted({*SAMPLES} - {"prompts", "own"})
    for path in places(SAMPLES[format])
    if (format, next((step for step in reversed(path) if step != 0), None)) not in FREE
]


@pytest.mark.parametrize(("format", "path"), OBJECTS)
@pytest.mark.parametrize("name", ["worse", "reasoning", "functions", "labels"])
def test_an_unknown_field_of_any_object_in_any_format_is_refused_by_its_name(
    tmp_path: Path, format: str, path: tuple[Any, ...], name: str
):
    row = copy.deepcopy(SAMPLES[format])
    if name in inside(row, path) or (name == "labels" and format in ("shp", "open-assistant")):
        return
    inside(row, path)[name] = "x y z"
    items = import_rows(tmp_path, format, row)
    assert all(isinstance(item, Refused) and f"'{name}'" in item.reason for item in items), items


@pytest.mark.parametrize(("format", "path"), OBJECTS)
def test_metadata_and_empty_fields_of_any_object_are_no_loss(
    tmp_path: Path, format: str, path: tuple[Any, ...]
):
    write(tmp_path / "stories.jsonl", [SAMPLES["squality"]])
    row = copy.deepcopy(SAMPLES[format])
    inside(row, path).update({"created_at": "2024", "tool_call_id": "c", "worse": None, "tools": []})
    assert [record_of(item) for item in import_rows(tmp_path, format, row)] == [
        record_of(item) for item in import_rows(tmp_path, format, SAMPLES[format])
    ]


@pytest.mark.parametrize("shape", [lambda turn: turn, lambda turn: [turn], lambda turn: turn["value"]])
def test_sharegpt_with_chosen_and_rejected_is_a_ranking(tmp_path: Path, shape: Any):
    row = {
        "conversations": [{"from": "human", "value": "Hi?"}],
        "system": "Be kind.",
        "chosen": shape({"from": "gpt", "value": "Hi!"}),
        "rejected": shape({"from": "gpt", "value": "No."}),
    }
    [item] = import_rows(tmp_path, "sharegpt", row)
    assert ranked_responses(item) == [("Hi!", 1), ("No.", 2)]
    assert turns_of(item) == ["system: Be kind.", "user: Hi?"]
    [same] = import_rows(tmp_path, "sharegpt", {**row, "rejected": row["chosen"]})
    assert isinstance(same, Refused)
    [half] = import_rows(tmp_path, "sharegpt", {**row, "rejected": None})
    assert isinstance(half, Refused)


@pytest.mark.parametrize("id", [None, "", "sample_{}", "identity_{}", "aB3dE5f_{}", 7])
def test_conversations_numbered_by_row_are_as_many_users(tmp_path: Path, id: Any):
    rows = [
        {
            "id": id.format(place) if isinstance(id, str) else id and place,
            "conversations": [{"from": "human", "value": f"Hi {place}?"}, {"from": "gpt", "value": "Hi!"}],
        }
        for place in range(1, 6)
    ]
    assert len({item.user for item in import_rows(tmp_path, "sharegpt", *rows)}) == 5


def test_a_turn_of_weight_0_is_never_the_response_to_learn(tmp_path: Path):
    more = {"role": "user", "content": "Once more."}
    only, last, first, plain, odd = import_rows(
        tmp_path,
        "trl",
        {"messages": [USER, BAD]},
        {"messages": [USER, GOOD, more, BAD]},
        {"messages": [USER, BAD, more, {**GOOD, "weight": 1}]},
        {"messages": [USER, {**GOOD, "weight": None}]},
        {"messages": [USER, {**GOOD, "weight": 0.5}]},
    )
    assert isinstance(record_of(only), Prompt)
    assert turns_of(last) == ["user: Hi?", "assistant: Hi!"]
    assert turns_of(first)[-1] == "assistant: Hi!"
    assert all(isinstance(item, Changed) and "weight 0" in item.changes[0] for item in (only, last, first))
    assert isinstance(plain, Demonstration)
    assert odd == Refused("a weight that is neither 0 nor 1")


def test_alpacas_system_and_history_are_turns_and_numbers_are_texts(tmp_path: Path):
    row = {"instruction": 1, "output": 42, "input": None, "system": "Be brief.", "history": [["Who?", "Me."]]}
    [item] = import_rows(tmp_path, "alpaca", row)
    assert turns_of(item) == ["system: Be brief.", "user: Who?", "assistant: Me.", "user: 1", "assistant: 42"]
    assert isinstance(import_rows(tmp_path, "alpaca", {"instruction": "a", "output": True})[0], Refused)
    assert isinstance(import_rows(tmp_path, "alpaca", {**row, "history": [["a"]]})[0], Refused)


def test_a_prompt_beside_whole_conversations_is_a_part_of_them(tmp_path: Path):
    begin = [USER, GOOD, {"role": "user", "content": "And?"}]
    ends = {side: [*begin, {"role": "assistant", "content": side}] for side in ("chosen", "rejected")}
    scores = {"chosen-rating": 5.0, "chosen-model": "m", "rejected-rating": 1}
    first, last, rated, tied, other = import_rows(
        tmp_path,
        "trl",
        {"prompt": "Hi?", "question": "Hi?", **ends},
        {"prompt": "And?", **ends},
        {"prompt": "Hi?", **ends, **scores},
        {"prompt": "Hi?", **ends, **scores, "rejected-rating": 5},
        {"prompt": "What?", **ends},
    )
    for item in (first, last, rated):
        assert ranked_responses(item) == [("chosen", 1), ("rejected", 2)]
        assert turns_of(item) == ["user: Hi?", "assistant: Hi!", "user: And?"]
    assert [rank for _, rank in ranked_responses(tied)] == [1, 1]
    assert isinstance(other, Refused)
    chat, wrong = import_rows(
        tmp_path,
        "trl",
        {"prompt": "Hi?", "prompt_id": "0", "messages": [USER, GOOD], "num_turns": 1},
        {"prompt": "What?", "messages": [USER, GOOD]},
    )
    assert isinstance(chat, Demonstration)
    assert isinstance(wrong, Refused)
