"""Invitation, sign-in and sessions, and protection against password guessing."""

import time

import pytest
from sqlalchemy import select

from alignloop.labeling import accounts
from alignloop.labeling.accounts import AccessRefused, TooManySignIns
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.qualification import set_status
from alignloop.labeling.schema import Event, Labeler, SignInSession

SECRET = "correct horse battery"


def test_an_invitation_link_works_until_a_password_is_set_and_only_hashes_are_stored(
    database: LabelingDatabase,
) -> None:
    link = accounts.invite(database, "labeler-ada", "labeler", "cli")
    first, second = (
        accounts.accept_invitation(database, link, None),
        accounts.accept_invitation(database, link, SECRET),
    )
    assert first != second
    with database.reading() as session:
        for cookie in (first, second):
            account = accounts.signed_in_account(session, cookie)
            assert account
            assert (account.id, account.role) == ("labeler-ada", "labeler")
        person = session.get_one(Labeler, "labeler-ada")
        assert (person.password or "").startswith("$argon2id$")
        stored = [
            *(each.id for each in session.scalars(select(SignInSession))),
            str(person.link),
            str(person.password),
        ]
    assert not any(secret in text for text in stored for secret in (link, first, second, SECRET))
    with pytest.raises(AccessRefused, match="no longer valid"):
        accounts.accept_invitation(database, link, None)
    assert accounts.sign_in(database, "labeler-ada", SECRET, "127.0.0.1")


def test_a_new_invitation_ends_the_old_link_and_every_session(database: LabelingDatabase) -> None:
    old = accounts.invite(database, "labeler-ada", "labeler", "cli")
    cookie = accounts.accept_invitation(database, old, None)
    accounts.invite(database, "labeler-ada", "labeler", "cli")
    with database.reading() as session:
        assert accounts.signed_in_account(session, cookie) is None
    with pytest.raises(AccessRefused):
        accounts.accept_invitation(database, old, None)


def test_links_and_sessions_expire(database: LabelingDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    link = accounts.invite(database, "labeler-ada", "labeler", "cli")
    cookie = accounts.accept_invitation(database, link, None)
    now = time.time()
    monkeypatch.setattr(accounts.time, "time", lambda: now + accounts.SESSION_HOURS * 3600 + 1)
    with database.reading() as session:
        assert accounts.signed_in_account(session, cookie) is None
    monkeypatch.setattr(accounts.time, "time", lambda: now + accounts.LINK_DAYS * 86400 + 1)
    with pytest.raises(AccessRefused):
        accounts.accept_invitation(database, link, None)


def test_password_guessing_is_stopped_by_name_and_recorded_in_the_audit(database: LabelingDatabase) -> None:
    accounts.accept_invitation(database, accounts.invite(database, "labeler-ada", "labeler", "cli"), SECRET)
    for _ in range(accounts.MAX_FAILED_SIGN_INS):
        with pytest.raises(AccessRefused, match="do not match"):
            accounts.sign_in(database, "labeler-ada", "wrong", "10.0.0.1")
    with pytest.raises(TooManySignIns):
        accounts.sign_in(database, "labeler-ada", SECRET, "10.0.0.2")
    with database.reading() as session:
        failed = session.scalars(select(Event).where(Event.action == "sign-in failed")).all()
    assert [(event.actor, event.subject) for event in failed] == [
        ("10.0.0.1", "labeler-ada")
    ] * accounts.MAX_FAILED_SIGN_INS
    assert not any("wrong" in str(event.details) for event in failed)


def test_guessing_names_is_stopped_by_address(
    database: LabelingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MAX_FAILED_SIGN_INS", 1)
    for number in range(10):
        with pytest.raises(AccessRefused, match="do not match"):
            accounts.sign_in(database, f"labeler-{number}", SECRET, "10.0.0.1")
    with pytest.raises(TooManySignIns):
        accounts.sign_in(database, "labeler-x", SECRET, "10.0.0.1")
    with pytest.raises(AccessRefused, match="do not match"):
        accounts.sign_in(database, "labeler-x", SECRET, "10.0.0.2")


def test_invalid_names_short_passwords_other_roles_and_excluded_people_are_refused(
    database: LabelingDatabase,
) -> None:
    for name in ("ada", "labeler-", "labeler-Ada", "labeler-a b", "labeler-../x", "labeler-<b>"):
        with pytest.raises(AccessRefused, match="not a valid labeler name"):
            accounts.invite(database, name, "labeler", "cli")
    link = accounts.invite(database, "labeler-ada", "labeler", "cli")
    with pytest.raises(AccessRefused, match="already has the role labeler"):
        accounts.invite(database, "labeler-ada", "admin", "cli")
    with pytest.raises(AccessRefused, match="10 characters"):
        accounts.accept_invitation(database, link, "short")
    set_status(database, "labeler-ada", "excluded", "labeler-boss")
    with pytest.raises(AccessRefused, match="excluded from this project"):
        accounts.accept_invitation(database, link, None)
