"""Thumbs, edits and choices are of the owner alone, replace earlier ones, and survive kill -9."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alignloop.labeling import conversations, feedback
from alignloop.labeling.conversations import ConversationNotFound
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback import FeedbackRefused, Opinion
from alignloop.labeling.feedback_schema import ResponseComparison, ResponseFeedback
from tests.conftest import PROJECT
from tests.labeling.test_conversations import begin, respond

KILLED = """
import os, sys
from alignloop.labeling import feedback
from alignloop.labeling.database import LabelingDatabase
database = LabelingDatabase(sys.argv[1])
id, response = sys.argv[2], int(sys.argv[3])
feedback.rate(database, "ada", id, response, is_up=False, reason="Cold.")
feedback.edit(database, "ada", id, response, "Salt.")
os.kill(os.getpid(), 9)
"""


def opinion(database: LabelingDatabase, response: int) -> Opinion:
    with database.reading() as session:
        return feedback.opinions(session, [response]).get(response, Opinion())


def leaf(database: LabelingDatabase, id: str) -> int | None:
    with database.reading() as session:
        return conversations.find(session, "ada", id).leaf


def test_a_thumb_and_an_edit_are_kept_with_the_version_until_they_are_replaced(
    database: LabelingDatabase,
) -> None:
    id, prompt, response = begin(database)
    feedback.rate(database, "ada", id, response, is_up=True)
    feedback.rate(database, "ada", id, response, is_up=False, reason=" Too short. ")
    feedback.edit(database, "ada", id, response, "Yes, salt.")
    feedback.edit(database, "ada", id, response, "Yes, it is salt. ")
    assert opinion(database, response) == Opinion(False, "Too short.", "Yes, it is salt.")
    with database.reading() as session:
        assert [each.model for each in session.scalars(select(ResponseFeedback))] == ["m/1", "m/1"]
    feedback.rate(database, "ada", id, response, is_up=None)
    assert opinion(database, response) == Opinion(edit="Yes, it is salt.")
    for wrong in ("Yes.", " Yes. ", " "):
        with pytest.raises(FeedbackRefused):
            feedback.edit(database, "ada", id, response, wrong)
    other, _, _ = begin(database, "bob", "Doors")
    attempts: list[Any] = [
        lambda: feedback.rate(database, "bob", id, response, is_up=True),
        lambda: feedback.rate(database, "bob", other, response, is_up=True),
        lambda: feedback.edit(database, "bob", id, response, "x"),
        lambda: feedback.rate(database, "ada", id, prompt, is_up=True),  # a prompt
    ]
    for attempt in attempts:
        with pytest.raises(ConversationNotFound):
            attempt()
    conversations.delete_conversation(database, "ada", id)
    with database.reading() as session:
        assert session.scalars(select(ResponseFeedback)).all() == []


@pytest.mark.parametrize("choice", ["left", "right", "tie", "neither"])
def test_a_choice_is_made_once_and_the_conversation_goes_on_from_it(
    database: LabelingDatabase, choice: Any
) -> None:
    id, prompt, left = begin(database)
    right = respond(database, "ada", id, prompt, "No.")
    feedback.begin_comparison(database, "ada", id, left, right)
    with database.reading() as session:
        found = feedback.open_comparison(session, id, right)
        assert feedback.open_comparison(session, id, prompt) is None
        assert found
        assert [each.content for each in feedback.compared(session, found)] == ["Yes.", "No."]
    other, _, _ = begin(database, "bob", "Doors")
    for owner, place in (("bob", id), ("bob", other)):
        with pytest.raises(ConversationNotFound):
            feedback.choose(database, owner, place, found.id, choice)
    feedback.choose(database, "ada", id, found.id, choice)
    assert leaf(database, id) == (right if choice == "right" else left)
    with pytest.raises(FeedbackRefused, match="chosen already"):
        feedback.choose(database, "ada", id, found.id, choice)
    with database.reading() as session:
        assert feedback.open_comparison(session, id, leaf(database, id)) is None
        [kept] = session.scalars(select(ResponseComparison))
        assert (kept.choice, kept.time is not None) == (choice, True)
    conversations.delete_conversation(database, "ada", id)


def test_equal_responses_are_not_compared_and_a_choice_comes_too_late_when_the_conversation_has_gone_on(
    database: LabelingDatabase,
) -> None:
    id, prompt, left = begin(database)
    feedback.begin_comparison(database, "ada", id, left, respond(database, "ada", id, prompt, "Yes. "))
    right = respond(database, "ada", id, prompt, "No.")
    with database.reading() as session:
        assert session.scalars(select(ResponseComparison)).all() == []
    feedback.begin_comparison(database, "ada", id, left, right)
    conversations.add_prompt(database, "ada", id, right, "Why?")
    with database.reading() as session:
        [found] = session.scalars(select(ResponseComparison))
    with pytest.raises(FeedbackRefused, match="gone on"):
        feedback.choose(database, "ada", id, found.id, "left")


def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/labeling.db"
    database = LabelingDatabase(url)
    id, _, response = begin(database)
    words = [sys.executable, "-c", KILLED, url, id, str(response)]
    assert subprocess.run(words, cwd=PROJECT, check=False).returncode == -signal.SIGKILL
    assert opinion(database, response) == Opinion(False, "Cold.", "Salt.")
    database.close()
