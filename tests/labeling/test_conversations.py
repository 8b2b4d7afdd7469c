"""Conversations are trees of messages that only their owner finds; guests' end with their session."""

from typing import Any

import pytest
from sqlalchemy import select, update

from alignloop.labeling import conversations, guests
from alignloop.labeling.conversations import ConversationNotFound
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.serving_schema import ChatMessage, Conversation, GuestSession

SETTINGS: Any = {"model": "m@champion", "system": "", "sampling": {"temperature": 1.0}}


def begin(database: LabelingDatabase, owner: str = "ada", title: str = "Sea salt") -> tuple[str, int, int]:
    """A conversation with a prompt and a response."""
    id = conversations.create(database, owner, title, **SETTINGS)
    prompt = conversations.add_prompt(database, owner, id, None, f"{title}?")
    return id, prompt, respond(database, owner, id, prompt, "Yes.")


def respond(database: LabelingDatabase, owner: str, id: str, prompt: int, content: str) -> int:
    more: Any = {"model": "m/1", "state": "complete", "left_out": 0}
    return conversations.add_response(database, owner, id, parent=prompt, content=content, **more)


def shown(database: LabelingDatabase, id: str, owner: str = "ada") -> list[tuple[str, int, int]]:
    """Content, place and number of siblings of each message of the branch shown."""
    with database.reading() as session:
        found = conversations.branch(session, conversations.find(session, owner, id))
    return [(each.message.content, each.place, len(each.siblings)) for each in found]


def test_edited_prompts_and_other_responses_are_branches(database: LabelingDatabase) -> None:
    id, prompt, first = begin(database)
    respond(database, "ada", id, prompt, "No.")
    assert shown(database, id) == [("Sea salt?", 0, 1), ("No.", 1, 2)]
    conversations.show(database, "ada", id, first)
    follow = conversations.add_prompt(database, "ada", id, first, "Why?")
    respond(database, "ada", id, follow, "So.")
    edited = conversations.add_prompt(database, "ada", id, None, "Sugar?")
    assert shown(database, id) == [("Sugar?", 1, 2)]
    conversations.show(database, "ada", id, first)  # down to the newest below
    assert [content for content, _, _ in shown(database, id)] == ["Sea salt?", "Yes.", "Why?", "So."]
    with pytest.raises(ConversationNotFound):  # a prompt does not follow a prompt
        conversations.add_prompt(database, "ada", id, edited, "x")
    with pytest.raises(ConversationNotFound):
        respond(database, "ada", id, first, "x")


def test_nobody_finds_what_is_of_others(database: LabelingDatabase) -> None:
    id, prompt, response = begin(database)
    other, _, _ = begin(database, "bob", "Green doors")
    attempts: list[Any] = [
        lambda: conversations.add_prompt(database, "bob", id, response, "x"),
        lambda: respond(database, "bob", id, prompt, "x"),
        lambda: conversations.show(database, "bob", id, prompt),
        lambda: conversations.show(database, "bob", other, prompt),  # a message of another conversation
        lambda: conversations.add_prompt(database, "bob", other, response, "x"),
        lambda: conversations.change(database, "bob", id, title="x"),
        lambda: conversations.delete_conversation(database, "bob", id),
    ]
    for attempt in attempts:
        with pytest.raises(ConversationNotFound):
            attempt()
    with database.reading() as session:
        assert [each.title for each in conversations.listed(session, "bob")] == ["Green doors"]
        assert conversations.listed(session, "bob", "salt") == []


@pytest.mark.parametrize(("words", "found"), [("SALT", 1), ("yes", 1), ("%", 0), ("_", 0), ("nothing", 0)])
def test_titles_and_messages_are_searched(database: LabelingDatabase, words: str, found: int) -> None:
    begin(database)
    with database.reading() as session:
        assert len(conversations.listed(session, "ada", words)) == found


def test_a_deleted_conversation_leaves_no_message(database: LabelingDatabase) -> None:
    id, _, response = begin(database)
    conversations.add_prompt(database, "ada", id, response, "Why?")
    conversations.delete_conversation(database, "ada", id)
    with database.reading() as session:
        assert session.scalars(select(ChatMessage)).all() == []
        assert session.scalars(select(Conversation)).all() == []


def test_a_guests_conversations_end_with_the_session(database: LabelingDatabase) -> None:
    cookie = guests.start_session(database)
    with database.reading() as session:
        guest = guests.guest_of(session, cookie)
        assert guests.guest_of(session, "another") is None
    assert guest
    begin(database, guest.owner)
    begin(database)
    with database.writing() as session:
        session.execute(update(GuestSession).values(expires=1.0))
    with database.reading() as session:
        assert guests.guest_of(session, cookie) is None
    guests.start_session(database)
    with database.reading() as session:
        assert [each.owner for each in session.scalars(select(Conversation))] == ["ada"]
        assert len(session.scalars(select(GuestSession)).all()) == 1
