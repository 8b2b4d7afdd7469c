"""Removal of a person from chat: conversations, feedback, consent, and the name that records have."""

from collections.abc import Collection
from pathlib import Path

from sqlalchemy import delete, func, or_, select

from alignloop.labeling import consent
from alignloop.labeling.conversations import delete_of_owners
from alignloop.labeling.database import existing_database, log_event
from alignloop.labeling.feedback_schema import ChatPerson, ConsentDecision
from alignloop.labeling.serving_schema import Conversation, GuestSession


def names_of(root: Path, id: str) -> set[str]:
    """The owner of conversations and the user of exported records that `id` is one of; empty if neither."""
    with existing_database(root) as database:
        if database is None:
            return set()
        with database.reading() as session:
            is_one = or_(ChatPerson.owner == id, ChatPerson.pseudonym == id)
            found = session.scalar(select(ChatPerson).where(is_one))
    return {found.owner, found.pseudonym} if found else set()


def count_items(root: Path, owners: Collection[str]) -> int:
    """Number of conversations and decisions of some owners."""
    with existing_database(root) as database:
        if database is None:
            return 0
        with database.reading() as session:
            return sum(
                session.scalar(select(func.count()).select_from(table).where(table.owner.in_(owners))) or 0
                for table in (Conversation, ConsentDecision)
            )


def forget(root: Path, owners: Collection[str], mark: str) -> int:
    """Remove all of some owners, with the feedback on it, and return the number of conversations.

    A guest's session ends. The space is reclaimed by `erasure.forget`.
    """
    with existing_database(root) as database:
        if database is None:
            return 0
        with database.writing() as session:
            count = select(func.count()).select_from(Conversation).where(Conversation.owner.in_(owners))
            conversations = session.scalar(count) or 0
            delete_of_owners(session, list(owners))
            consent.delete_of_owners(session, list(owners))
            session.execute(delete(GuestSession).where(GuestSession.owner.in_(owners)))
            if conversations:
                log_event(session, "command line", "forget chat", mark, conversations=conversations)
        return conversations
