"""Suggestions are kept with consent alone, decided about once, and become binary labels."""

import time

import pytest

from alignloop.labeling import suggestions
from alignloop.labeling.chat_records import EARLIER, EMPTY, LABELS, LATER, ChatRecords
from alignloop.labeling.consent import Statement
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.suggestion_records import UNDECIDED, add_suggestions
from alignloop.labeling.suggestions import SuggestionNotFound
from tests.labeling.test_chat_records import STATEMENT, decide


def collect(database: LabelingDatabase, statement: Statement = STATEMENT, until: float = 1e12) -> ChatRecords:
    found = ChatRecords()
    with database.reading() as session:
        add_suggestions(session, statement, found, until)
    return found


def test_what_became_of_suggestions_becomes_labels_on_what_the_model_got(database: LabelingDatabase) -> None:
    decide(database, "ada", True)
    typed = "Write to anna.schmidt@example.org that the sea"
    whole, part, not_wanted, open = (
        suggestions.add(database, "ada", typed, f" is full of salt {number}.", "m/1") for number in range(4)
    )
    suggestions.decide(database, "ada", whole, "accepted")
    suggestions.decide(database, "ada", part, "part", " is full")
    suggestions.decide(database, "ada", not_wanted, "dismissed")
    found = collect(database)
    said = [(each.response, each.good) for each in found.records[LABELS]]
    assert said == [("is full of salt 0.", True), ("is full", True), ("is full of salt 2.", False)]
    [name] = found.people
    for label in found.records[LABELS]:
        assert [turn.content for turn in label.prompt.messages] == [
            suggestions.SYSTEM,
            "Write to <EMAIL> that the sea",
        ]
        assert (label.policy, label.by, label.labeler) == ("m/1", "person", f"labeler-{name}")
    assert found.left_out == {("suggestions", UNDECIDED): 1}
    assert found.redacted == {"EMAIL": 3}
    between = time.time()
    time.sleep(0.01)
    suggestions.decide(database, "ada", open, "dismissed")
    assert collect(database, until=between).left_out == {("suggestions", LATER): 1}
    changed = Statement("May we now?", "CC0-1.0")
    assert collect(database, changed).left_out == {("suggestions", EARLIER): 4}
    decide(database, "ada", False)
    assert collect(database).left_out == {}, "they go when consent is withdrawn"


def test_a_blank_text_gives_no_label_and_stops_no_export(database: LabelingDatabase) -> None:
    decide(database, "ada", True)
    for text in ("   ", "The sea"):
        id = suggestions.add(database, "ada", text, " is full.", "m/1")
        suggestions.decide(database, "ada", id, "accepted")
    found = collect(database)
    assert [each.response for each in found.records[LABELS]] == ["is full."]
    assert found.left_out == {("suggestions", EMPTY): 1}


def test_a_suggestion_is_decided_about_once_by_its_owner_and_a_part_is_its_beginning(
    database: LabelingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = suggestions.add(database, "ada", "The sea", " is full.", "m/1")
    for owner, outcome, taken in (("bob", "accepted", ""), ("ada", "part", "full"), ("ada", "part", "")):
        with pytest.raises(SuggestionNotFound):
            suggestions.decide(database, owner, id, outcome, taken)  # pyright: ignore[reportArgumentType]
    suggestions.decide(database, "ada", id, "dismissed")
    with pytest.raises(SuggestionNotFound):
        suggestions.decide(database, "ada", id, "accepted")
    monkeypatch.setattr(suggestions, "MOST", 2)
    ids = [suggestions.add(database, "ada", "The sea", " is full.", "m/1") for _ in range(2)]
    with database.reading() as session:
        assert [row.id for row in suggestions.all_suggestions(session)] == ids
