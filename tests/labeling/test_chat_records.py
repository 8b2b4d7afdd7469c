"""What is said in chat becomes records with consent alone, redacted, with the version that responded."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select, update

from alignloop.labeling import chat_records, consent, conversations, feedback
from alignloop.labeling.chat_records import BEFORE, EARLIER, NO_CONSENT, RULED_OUT, ChatRecords, version_in
from alignloop.labeling.consent import Statement
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback_schema import Choice, ResponseComparison
from alignloop.labeling.serving_schema import UNREAD, ChatMessage
from alignloop.records import Message

STATEMENT = Statement("May we?", "CC0-1.0")
MAIL = "Write to anna.schmidt@example.org about salt."


def decide(database: LabelingDatabase, owner: str, agreed: bool, statement: Statement = STATEMENT) -> None:
    consent.record_statement(database, statement)
    consent.decide(database, owner, statement, version=statement.version, agreed=agreed)


def begin(database: LabelingDatabase, owner: str, prompt: str, system: str = "") -> tuple[str, int]:
    settings: Any = {"model": "m@champion", "system": system, "sampling": {}}
    id = conversations.create(database, owner, prompt, **settings)
    return id, conversations.add_prompt(database, owner, id, None, prompt)


def respond(database: LabelingDatabase, owner: str, id: str, prompt: int, text: str, **changes: Any) -> int:
    values: Any = {"model": "m/1 @champion", "state": "complete", "left_out": 0, "system": ""}
    return conversations.add_response(database, owner, id, parent=prompt, content=text, **values | changes)


def collect(database: LabelingDatabase, statement: Statement = STATEMENT, most: int = 9) -> ChatRecords:
    with database.reading() as session:
        return chat_records.collect(session, statement, most)


def compare(database: LabelingDatabase, id: str, pair: Sequence[int], choice: Choice | None) -> None:
    feedback.begin_comparison(database, "ada", id, *pair)
    with database.reading() as session:
        found = session.scalars(select(ResponseComparison).where(ResponseComparison.left == pair[0])).one()
    if choice:
        feedback.choose(database, "ada", id, found.id, choice)


def test_nothing_is_taken_without_consent_and_nothing_that_was_said_before_it(
    database: LabelingDatabase,
) -> None:
    id, prompt = begin(database, "ada", "Is the sea full of salt?")
    response = respond(database, "ada", id, prompt, "Yes.")
    feedback.rate(database, "ada", id, response, is_up=True)
    feedback.edit(database, "ada", id, response, "Yes, it is.")
    assert collect(database).records == {}
    assert collect(database).left_out == {(what, NO_CONSENT): 1 for what in ("prompts", "edits", "thumbs")}
    decide(database, "ada", True)
    found = collect(database)
    assert found.records == {}
    before = {(what, BEFORE): 1 for what in ("prompts", "edits", "thumbs")}
    assert found.left_out == before
    feedback.edit(database, "ada", id, response, "Yes, it is full.")  # on a prompt of before
    later = conversations.add_prompt(database, "ada", id, response, "Why?")  # after that prompt
    respond(database, "ada", id, later, "So.")
    respond(database, "ada", *begin(database, "ada", "Who painted it?"), "Nobody.")
    found = collect(database)
    assert [each.id.split("-")[1] for each in found.records["prompts"]] == ["prompt"]
    assert found.left_out == before | {("prompts", BEFORE): 2}
    changed = Statement("May we now?", "CC0-1.0")
    assert {reason for _, reason in collect(database, changed).left_out} == {EARLIER}
    decide(database, "ada", False)
    assert collect(database).records == {}
    decide(database, "ada", True)
    assert collect(database).records == {}


def test_edits_choices_and_thumbs_are_rankings_and_demonstrations_redacted_with_their_version(
    database: LabelingDatabase,
) -> None:
    decide(database, "ada", True)
    id, prompt = begin(database, "ada", MAIL, system="Be brief.")
    first, second, third = (
        respond(database, "ada", id, prompt, text, system="Be brief.") for text in ("Yes.", "No.", "Perhaps.")
    )
    feedback.edit(database, "ada", id, first, "Ask anna.schmidt@example.org yourself.")
    for response, is_up in ((first, False), (second, True), (third, False)):
        feedback.rate(database, "ada", id, response, is_up=is_up)
    with database.writing() as session:
        conversations.find(session, "ada", id).leaf = second
    compare(database, id, (first, second), "right")
    found = collect(database)
    assert found.left_out == {}
    assert found.redacted == {"EMAIL": 5}  # the prompt, alone and in three rankings, and the edit
    [name] = found.people
    [asked] = found.records["prompts"]
    messages = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Write to <EMAIL> about salt."),
    )
    assert (asked.messages, asked.user, asked.source) == (messages, name, "chat with m/1")
    assert version_in(asked.source) == "m/1"
    [shown] = found.records["demonstrations"]
    written = Message(role="assistant", content="Ask <EMAIL> yourself.")
    assert (shown.messages, shown.user, shown.source) == ((*messages, written), name, "chat with m/1")
    [edited], [chosen], [rated] = (found.records[kind] for kind in ("edits", "comparisons", "thumbs"))
    assert (edited.responses, edited.ranks) == (("Ask <EMAIL> yourself.", "Yes."), (1, 2))
    assert (chosen.responses, chosen.ranks) == (("Yes.", "No."), (2, 1))
    assert (rated.responses, rated.ranks) == (("No.", "Yes.", "Perhaps."), (1, 2, 2))
    for ranking in (edited, chosen, rated):
        assert ranking.prompt == asked
        assert (ranking.policy, ranking.kind, ranking.labeler) == ("m/1", "person", f"labeler-{name}")
    assert len({each.id for kind in found.records.values() for each in kind}) == 5


@pytest.mark.parametrize(
    ("choice", "ranks"), [("left", (1, 2)), ("tie", (1, 1)), ("neither", (1, 1)), (None, None)]
)
def test_a_tie_and_neither_are_equal_ranks_and_no_choice_is_none(
    database: LabelingDatabase, choice: Choice | None, ranks: tuple[int, int] | None
) -> None:
    decide(database, "ada", True)
    id, prompt = begin(database, "ada", "Is the sea full of salt?")
    pair = [respond(database, "ada", id, prompt, text) for text in ("Yes.", "No.")]
    compare(database, id, pair, choice)
    found = collect(database)
    assert [each.ranks for each in found.records["comparisons"]] == ([ranks] if ranks else [])
    assert found.left_out == ({} if ranks else {("comparisons", "without a choice"): 1})


def test_what_gives_no_honest_record_is_counted_with_the_reason(database: LabelingDatabase) -> None:
    decide(database, "ada", True)
    id, prompt = begin(database, "ada", "Is the sea full of salt?")
    lone = respond(database, "ada", id, prompt, "Yes.")
    feedback.rate(database, "ada", id, lone, is_up=True)
    begin(database, "ada", "And the lake?")  # no response
    id, prompt = begin(database, "ada", "Who painted the door?")
    stopped = respond(database, "ada", id, prompt, "No", state="stopped")
    feedback.rate(database, "ada", id, stopped, is_up=False)
    feedback.edit(database, "ada", id, stopped, "Nobody.")
    id, prompt = begin(database, "ada", "When?")
    respond(database, "ada", id, prompt, "Now.", system=None)
    id, prompt = begin(database, "ada", "Why?")
    empty = respond(database, "ada", id, prompt, "", state="stopped")
    follow = conversations.add_prompt(database, "ada", id, empty, "Well?")
    respond(database, "ada", id, follow, "So.")
    found = collect(database)
    assert found.left_out == {
        ("thumbs", "on responses that were stopped"): 1,
        ("edits", "of responses that were stopped: no ranking"): 1,
        ("prompts", "without a response"): 1,
        ("prompts", chat_records.UNRECORDED): 1,
        ("prompts", chat_records.EMPTY): 1,
    }
    counts = {kind: len(each) for kind, each in found.records.items()}
    assert counts == {"prompts": 3, "demonstrations": 1, "labels": 1}
    [label] = found.records["labels"]
    assert (label.prompt.messages[0].content, label.response, label.good) == (
        "Is the sea full of salt?",
        "Yes.",
        True,
    )
    assert (label.by, label.policy, label.labeler) == ("person", "m/1", f"labeler-{label.prompt.user}")


def test_thumbs_of_one_kind_are_labels_and_those_of_equal_responses_say_nothing(
    database: LabelingDatabase,
) -> None:
    decide(database, "ada", True)
    id, prompt = begin(database, "ada", "Is the sea full of salt?")
    said = [("Yes.", True), ("Write to anna.schmidt@example.org.", True), ("No.", True), (" No.", False)]
    for text, is_up in said:
        response = respond(database, "ada", id, prompt, text)
        feedback.rate(database, "ada", id, response, is_up=is_up)
    found = collect(database)
    labels = found.records["labels"]
    assert [(each.response, each.good) for each in labels] == [("Yes.", True), ("Write to <EMAIL>.", True)]
    assert "thumbs" not in found.records
    assert found.left_out == {("thumbs", "on equal responses, or beyond the most responses of a ranking"): 2}


def test_what_was_said_later_than_a_moment_waits(database: LabelingDatabase) -> None:
    decide(database, "ada", True)
    id, prompt = begin(database, "ada", "Is the sea full of salt?")
    response = respond(database, "ada", id, prompt, "Yes.")
    between = time.time()
    time.sleep(0.01)
    feedback.rate(database, "ada", id, response, is_up=True)
    feedback.edit(database, "ada", id, response, "Yes, it is.")
    respond(database, "ada", *begin(database, "ada", "And the lake?"), "No.")
    with database.reading() as session:
        found = chat_records.collect(session, STATEMENT, 9, between)
    assert {kind: len(each) for kind, each in found.records.items()} == {"prompts": 1}
    assert found.left_out == {(what, chat_records.LATER): 1 for what in ("prompts", "edits", "thumbs")}


def test_the_prompt_of_a_record_is_what_the_model_got(database: LabelingDatabase) -> None:
    decide(database, "ada", True)
    id, prompt = begin(database, "ada", "Is the sea full of salt?")
    response = respond(database, "ada", id, prompt, "Yes.")
    follow = conversations.add_prompt(database, "ada", id, response, "Why?")
    respond(database, "ada", id, follow, "So.", left_out=2)
    conversations.change(database, "ada", id, system="Another one, set afterwards.")
    turns = [[turn.content for turn in each.messages] for each in collect(database).records["prompts"]]
    assert turns == [["Is the sea full of salt?"], ["Why?"]]
    with database.writing() as session:  # what was said at the same moment as the consent is covered
        session.execute(update(ChatMessage).values(created=time.time() - 3600))
    assert collect(database).records == {}


@pytest.mark.parametrize("state", UNREAD)
def test_what_a_rule_or_a_person_stopped_teaches_nothing_nor_do_the_turns_after_it(
    database: LabelingDatabase, state: str
) -> None:
    decide(database, "ada", True)
    id, prompt = begin(database, "ada", "How is it picked?")
    stopped = respond(database, "ada", id, prompt, "A rule does not let it through.", state=state)
    feedback.rate(database, "ada", id, stopped, is_up=False)
    feedback.edit(database, "ada", id, stopped, "With a hook.")
    later = conversations.add_prompt(database, "ada", id, stopped, "And then?")
    respond(database, "ada", id, later, "Open it.")
    found = collect(database)
    assert found.records == {}
    assert found.left_out["prompts", RULED_OUT] == 2
    assert found.left_out["edits", RULED_OUT] == 1
    assert sum(found.left_out.values()) == 4
