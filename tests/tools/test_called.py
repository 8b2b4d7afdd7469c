"""Calls are read from turns alone, whatever a chat template writes around them."""

from alignloop.tool_turns import RolloutTurn
from alignloop.tools.called import LONGEST, UNREADABLE, called, calls_with_results, read_call, shown_call


def turn(by: str, text: str) -> RolloutTurn:
    return RolloutTurn.model_validate({"by": by, "text": text, "tokens": 1})


MARKED = '<tool_call>\n{"name": "search", "arguments": {"query": "a  mill"}}\n</tool_call>'
BARE = '{"name": "sum", "parameters": {"a": 1, "b": [2]}}'
BROKEN = "<tool_call>{six}</tool_call>"
TURNS = [
    turn("policy", f"Let me {{see}}. {MARKED}"),
    turn("tool", "[2] The mill | mill.md | MIT\nBuilt."),
    turn("policy", BARE),
    turn("tool", "error: sum: gave no result within 1 s"),
    turn("policy", BROKEN),
    turn("tool", "error: the call is not JSON"),
    turn("policy", "Built [2]."),
]


def test_calls_are_shown_in_words_with_why_there_was_no_result() -> None:
    assert called(TURNS) == [
        ("search", "a mill", ""),
        ("sum", "a: 1, b: [2]", "sum: gave no result within 1 s"),
        ("", UNREADABLE, "the call is not JSON"),
    ]
    assert called(TURNS[:1]) == [], "nobody has answered yet"
    long = '{"name": "search", "arguments": {"query": "' + "x" * 1000 + '"}}'
    assert len(shown_call(long)[1]) == LONGEST + 2


def test_records_have_the_calls_that_gave_a_result() -> None:
    [call] = calls_with_results(TURNS)
    assert (call.name, call.arguments, call.result) == ("search", {"query": "a  mill"}, TURNS[1].text)


def test_what_is_no_call_is_none() -> None:
    for text in ("", "{", '{"name": 3}', '{"name": "x", "arguments": [1]}', "[" * 100_000, '{"a": {}}'):
        assert read_call(text) is None
