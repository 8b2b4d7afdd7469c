"""No importer drops what changes the meaning of a row: it is read, or refused by name."""

from pathlib import Path
from typing import Any

import pytest

from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.sniffing import sniff
from alignloop.records import Demonstration, Prompt, Ranking
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


@pytest.mark.parametrize(("format", "turns"), [("trl", "messages"), ("sharegpt", "conversations")])
@pytest.mark.parametrize("name", ["tool_call_id", "reasoning", "name_of_tool", "worse"])
def test_an_unknown_field_of_a_turn_is_refused_by_its_name(
    tmp_path: Path, format: str, turns: str, name: str
):
    row = CHATS[format]
    said = [row[turns][0], {**row[turns][1], name: "x"}]
    [item] = import_rows(tmp_path, format, {**row, turns: said})
    if name == "tool_call_id":
        return  # an id
    assert isinstance(item, Refused)
    assert f"'{name}' of a turn" in item.reason


@pytest.mark.parametrize("format", sorted({*SAMPLES} - {"prompts", "own", *CHATS}))
def test_what_changes_a_rows_meaning_is_refused_in_every_format(tmp_path: Path, format: str):
    for name in ("system_prompt", "history", "tools"):
        if name in SAMPLES[format]:
            continue
        items = import_rows(tmp_path, format, {**SAMPLES[format], name: "Answer as a pirate."})
        assert [isinstance(item, Refused) and f"'{name}'" in item.reason for item in items] == [True]


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


STYLES = {
    "hh": "\n\nHuman: Hi?\n\nAssistant: Hi!\n\nHuman: And?\n\nAssistant:",
    "human": "Human: Hi?\nAssistant: Hi!\nHuman: And?\nAssistant: ",
    "guanaco": "### Human: Hi?### Assistant: Hi!### Human: And?### Assistant:",
    "instruction": "### Instruction:\nHi?\n\n### Response:\nHi!\n\n### Instruction:\nAnd?\n\n### Response:\n",
    "user": "User: Hi?\nAssistant: Hi!\nUser: And?\nAssistant:",
    "vicuna": "USER: Hi? ASSISTANT: Hi!</s>USER: And? ASSISTANT:",
    "chatml": "<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nHi!<|im_end|>\n<|im_start|>user\nAnd?"
    "<|im_end|>\n<|im_start|>assistant\n",
    "llama": "<s>[INST] Hi? [/INST] Hi! </s><s>[INST] And? [/INST]",
}
TURNS = ["user: Hi?", "assistant: Hi!", "user: And?"]


@pytest.mark.parametrize("style", STYLES)
def test_a_transcript_becomes_the_turns_in_it_wherever_it_stands(tmp_path: Path, style: str):
    text = STYLES[style]
    path = write(tmp_path / "rows.jsonl", [{"text": f"{text} So."}])
    assert sniff(path) == "transcripts"
    whole, waiting = import_rows(tmp_path, "transcripts", {"text": f"{text} So."}, {"text": text})
    assert (turns_of(whole), turns_of(waiting)) == ([*TURNS, "assistant: So."], TURNS)
    pair = {"prompt": text, "chosen": " So.", "rejected": " No.", "response": " So."}
    ranked, both, shown, asked = import_rows(
        tmp_path,
        "trl",
        pair,
        {"chosen": f"{text} So.", "rejected": f"{text} No."},
        {"prompt": text, "completion": "So."},
        {"prompt": text},
    )
    assert turns_of(ranked) == turns_of(both) == turns_of(asked) == TURNS
    assert ranked_responses(ranked) == ranked_responses(both) == [("So.", 1), ("No.", 2)]
    assert turns_of(shown) == [*TURNS, "assistant: So."]
    assert isinstance(record_of(ranked), Ranking)


def test_a_response_that_goes_on_with_other_turns_is_refused(tmp_path: Path):
    row = {"prompt": STYLES["hh"], "chosen": "\n\nAssistant: So.", "rejected": "No."}
    marked, runs_on = import_rows(
        tmp_path, "trl", row, {**row, "chosen": "\n\nAssistant: So.\n\nHuman: And?\n\nAssistant: Bye."}
    )
    assert ranked_responses(marked)[0] == ("So.", 1)
    assert isinstance(runs_on, Refused)


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
        assert turns_of(item) == TURNS
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
