"""Preference sets of a shape of their own: who wins, what ties, and what is no comparison."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alignloop.data.formats.importer import Refused
from alignloop.data.formats.sniffing import sniff
from alignloop.records import Ranking
from tests.data.formats.samples import (
    SAMPLES,
    import_rows,
    ranked_responses,
    read_items,
    record_of,
    turns_of,
    write,
)

TABLES = (
    "nectar",
    "arena",
    "openai-preference",
    "safe-rlhf",
    "instruction-preference",
    "label-studio-min",
)
BIRD = {"role": "user", "content": "Name a bird."}


@pytest.mark.parametrize("format", TABLES)
def test_the_owl_beats_the_bee_in_every_table(tmp_path: Path, format: str):
    [item] = import_rows(tmp_path, format, SAMPLES[format])
    assert sorted(ranked_responses(item), key=lambda pair: pair[1]) == [("Owl.", 1), ("Bee.", 2)]
    assert turns_of(item) == ["user: Name a bird."]


@pytest.mark.parametrize(
    ("winner", "ranks"),
    [("model_a", (1, 2)), ("model_b", (2, 1)), ("tie", (1, 1)), ("tie (bothbad)", (1, 1)), ("nobody", None)],
)
def test_an_arenas_winner_is_first_and_ties_tie(tmp_path: Path, winner: str, ranks: tuple[int, ...] | None):
    [item] = import_rows(tmp_path, "arena", {**SAMPLES["arena"], "winner": winner})
    record = None if isinstance(item, Refused) else record_of(item)
    assert (record.ranks if isinstance(record, Ranking) else None) == ranks
    [judged] = import_rows(tmp_path, "arena", {**SAMPLES["arena"], "judge": "gpt4_pair"})
    assert isinstance(judged, Ranking)
    assert judged.kind == "judge"


REFUSED: list[tuple[str, dict[str, Any]]] = [
    (
        "arena",
        {"conversation_b": [{**BIRD, "content": "Another prompt."}, SAMPLES["arena"]["conversation_b"][1]]},
    ),
    ("arena", {"conversation_b": [BIRD]}),
    ("openai-preference", {"input": {"messages": [BIRD], "tools": [{"type": "function"}]}}),
    ("openai-preference", {"preferred_output": []}),
    ("openai-preference", {"non_preferred_output": SAMPLES["openai-preference"]["preferred_output"]}),
    ("safe-rlhf", {"better_response_id": 2}),
    ("safe-rlhf", {"better_response_id": True}),
    ("nectar", {"answers": SAMPLES["nectar"]["answers"][:1]}),
    ("label-studio-min", {"comparison": "both"}),
    ("label-studio-min", {"second": "left"}),
]


@pytest.mark.parametrize(("format", "change"), REFUSED)
def test_a_row_that_compares_nothing_is_refused(tmp_path: Path, format: str, change: dict[str, Any]):
    [item] = import_rows(tmp_path, format, {**SAMPLES[format], **change})
    assert isinstance(item, Refused)


@pytest.mark.parametrize("value", [["left"], {"left": 1}, 3, None])
def test_a_column_of_any_value_beside_the_choice_is_not_a_choice(tmp_path: Path, value: Any):
    [item] = import_rows(tmp_path, "label-studio-min", {**SAMPLES["label-studio-min"], "lead_time": value})
    assert sorted(ranked_responses(item), key=lambda pair: pair[1]) == [("Owl.", 1), ("Bee.", 2)]


def test_helpsteers_neighbouring_rows_of_a_prompt_are_ranked_by_helpfulness(tmp_path: Path):
    def row(prompt: str, response: str, helpfulness: int) -> dict[str, Any]:
        return {"prompt": prompt, "response": response, "helpfulness": helpfulness, "verbosity": 1}

    rows = [
        row("A?", "bad", 0),
        row("A?", "good", 4),
        row("B?", "alone", 4),
        row("C?", "x", 2),
        row("C?", "y", 2),
    ]
    assert sniff(write(tmp_path / "rows.jsonl", rows)) == "helpsteer2"
    first, alone, tied, *more = import_rows(
        tmp_path, "helpsteer2", *rows, row("D<extra_id_1>", "a", 1), "no row"
    )
    assert ranked_responses(first) == [("bad", 2), ("good", 1)]
    assert alone == Refused("no other response to the same prompt stands next to it")
    assert ranked_responses(tied) == [("x", 1), ("y", 1)]
    assert [isinstance(item, Refused) for item in more] == [True, True]


CHAT = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}, BIRD]


def test_a_prompt_that_is_a_list_of_turns_is_a_conversation(tmp_path: Path):
    sample = SAMPLES["label-studio"]
    [item] = import_rows(tmp_path, "label-studio", {**sample, "data": {**sample["data"], "prompt": CHAT}})
    fields = {"chat": CHAT, "reply-1": "Bee.", "reply-2": "Owl."}
    [other] = import_rows(tmp_path, "argilla", {**SAMPLES["argilla"], "fields": fields})
    assert turns_of(item) == turns_of(other) == ["user: Hi.", "assistant: Hello.", "user: Name a bird."]
    [broken] = import_rows(
        tmp_path, "argilla", {**SAMPLES["argilla"], "fields": {**fields, "chat": [{"a": 1}]}}
    )
    assert isinstance(broken, Refused)


@pytest.mark.parametrize(
    ("field", "names"), [("conversations", ("from", "value")), ("messages", ("role", "content"))]
)
def test_an_object_of_lists_in_parquet_is_a_list_of_turns(tmp_path: Path, field: str, names: tuple[str, str]):
    turns = {names[0]: ["user", "assistant"], names[1]: ["Hi?", "Hi!"]}
    pq.write_table(pa.Table.from_pylist([{field: turns}]), tmp_path / "rows.parquet")
    format = sniff(tmp_path / "rows.parquet")
    [item] = read_items(tmp_path / "rows.parquet", format)
    assert turns_of(item) == ["user: Hi?", "assistant: Hi!"]


def test_an_instruction_its_input_system_and_history_are_the_prompt_of_a_preference(tmp_path: Path):
    ends = {"chosen": "Owl.", "rejected": "Bee."}
    alpaca = {"instruction": "Name one.", "input": "birds", "history": [["Hi?", "Hi!"]], **ends}
    orca = {"system": "Be brief.", "question": "Name a bird.", **ends}
    assert sniff(write(tmp_path / "rows.jsonl", [alpaca])) == "instruction-preference"
    assert sniff(write(tmp_path / "rows.jsonl", [orca])) == "instruction-preference"
    first, second, empty = import_rows(tmp_path, "instruction-preference", alpaca, orca, ends)
    assert turns_of(first) == ["user: Hi?", "assistant: Hi!", "user: Name one.\n\nbirds"]
    assert turns_of(second) == ["system: Be brief.", "user: Name a bird."]
    assert ranked_responses(first) == ranked_responses(second) == [("Owl.", 1), ("Bee.", 2)]
    assert isinstance(empty, Refused)
