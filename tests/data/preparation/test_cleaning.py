"""Personal data is redacted wherever a record holds text, and the gate looks in the same places."""

from collections import Counter

from alignloop.data.preparation.cleaning import Cleaner
from alignloop.data.validation.record_tables import _texts
from alignloop.records import Demonstration, Message
from alignloop.tool_turns import ToolCall


def test_arguments_and_results_of_calls_are_redacted_and_looked_at() -> None:
    call = ToolCall(
        name="search",
        arguments={"query": "who is ann@example.org", "words": [{"x": "bob@example.org"}, 7]},
        result="[1] Ann | ann | MIT\nann@example.org",
    )
    told = Demonstration(
        id="d",
        messages=(Message(role="user", content="Who?"), Message(role="assistant", content="Ann [1].")),
        user="u",
        labeler="l",
        source="s",
        calls=(call,),
    )
    tally = Counter[str]()
    [clean] = Cleaner(tally, languages=False, cache=None).clean([told])
    assert isinstance(clean, Demonstration)
    assert clean.calls[0].arguments == {"query": "who is <EMAIL>", "words": [{"x": "<EMAIL>"}, 7]}
    assert clean.calls[0].result.endswith("\n<EMAIL>")
    assert tally["redacted EMAIL"] == 3
    found = list(_texts(told.model_dump(mode="json")["calls"]))
    assert [text for text in found if "@" in text] == [
        "who is ann@example.org",
        "bob@example.org",
        "[1] Ann | ann | MIT\nann@example.org",
    ]
