"""People come in by invitation only, by a link or a password, and are kept out when they guess."""

import time

import pytest
from sqlalchemy import select

from alignloop.labeling import accounts
from alignloop.labeling.accounts import Refused, TooMany
from alignloop.labeling.database import Store
from alignloop.labeling.qualification import stand
from alignloop.labeling.schema import Event, Labeler, Visit

SECRET = "correct horse battery"


def test_a_link_lets_its_labeler_in_until_a_password_is_set_and_the_store_holds_neither(store: Store) -> None:
    link = accounts.invite(store, "labeler-ada", "labeler", "cli")
    first, second = accounts.accept(store, link, None), accounts.accept(store, link, SECRET)
    assert first != second
    with store.reading() as session:
        for cookie in (first, second):
            guest = accounts.guest(session, cookie)
            assert guest
            assert (guest.id, guest.role) == ("labeler-ada", "labeler")
        person = session.get_one(Labeler, "labeler-ada")
        assert (person.password or "").startswith("$argon2id$")
        kept = [
            *(visit.id for visit in session.scalars(select(Visit))),
            str(person.link),
            str(person.password),
        ]
    assert not any(secret in text for text in kept for secret in (link, first, second, SECRET))
    with pytest.raises(Refused, match="no longer valid"):
        accounts.accept(store, link, None)
    assert accounts.sign_in(store, "labeler-ada", SECRET, "127.0.0.1")


def test_a_new_invitation_ends_the_old_link_and_every_visit(store: Store) -> None:
    old = accounts.invite(store, "labeler-ada", "labeler", "cli")
    cookie = accounts.accept(store, old, None)
    accounts.invite(store, "labeler-ada", "labeler", "cli")
    with store.reading() as session:
        assert accounts.guest(session, cookie) is None
    with pytest.raises(Refused):
        accounts.accept(store, old, None)


def test_links_and_visits_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    link = accounts.invite(store, "labeler-ada", "labeler", "cli")
    cookie = accounts.accept(store, link, None)
    now = time.time()
    monkeypatch.setattr(accounts.time, "time", lambda: now + accounts.VISIT_HOURS * 3600 + 1)
    with store.reading() as session:
        assert accounts.guest(session, cookie) is None
    monkeypatch.setattr(accounts.time, "time", lambda: now + accounts.LINK_DAYS * 86400 + 1)
    with pytest.raises(Refused):
        accounts.accept(store, link, None)


def test_guessing_is_stopped_by_name_and_told_in_the_audit(store: Store) -> None:
    accounts.accept(store, accounts.invite(store, "labeler-ada", "labeler", "cli"), SECRET)
    for _ in range(accounts.TRIES):
        with pytest.raises(Refused, match="do not fit"):
            accounts.sign_in(store, "labeler-ada", "wrong", "10.0.0.1")
    with pytest.raises(TooMany):
        accounts.sign_in(store, "labeler-ada", SECRET, "10.0.0.2")
    with store.reading() as session:
        failed = session.scalars(select(Event).where(Event.action == "sign-in failed")).all()
    assert [(event.actor, event.subject) for event in failed] == [
        ("10.0.0.1", "labeler-ada")
    ] * accounts.TRIES
    assert not any("wrong" in str(event.details) for event in failed)


def test_guessing_names_is_stopped_by_address(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "TRIES", 1)
    for number in range(10):
        with pytest.raises(Refused, match="do not fit"):
            accounts.sign_in(store, f"labeler-{number}", SECRET, "10.0.0.1")
    with pytest.raises(TooMany):
        accounts.sign_in(store, "labeler-x", SECRET, "10.0.0.1")
    with pytest.raises(Refused, match="do not fit"):
        accounts.sign_in(store, "labeler-x", SECRET, "10.0.0.2")


def test_what_is_no_name_a_short_password_another_role_and_an_excluded_person_are_refused(
    store: Store,
) -> None:
    for name in ("ada", "labeler-", "labeler-Ada", "labeler-a b", "labeler-../x", "labeler-<b>"):
        with pytest.raises(Refused, match="no name for a labeler"):
            accounts.invite(store, name, "labeler", "cli")
    link = accounts.invite(store, "labeler-ada", "labeler", "cli")
    with pytest.raises(Refused, match="already known as labeler"):
        accounts.invite(store, "labeler-ada", "admin", "cli")
    with pytest.raises(Refused, match="10 characters"):
        accounts.accept(store, link, "short")
    stand(store, "labeler-ada", "excluded", "labeler-boss")
    with pytest.raises(Refused, match="not on this project"):
        accounts.accept(store, link, None)
