"""People come in by invitation only, by a link or a password, and are kept out when they guess."""

import time

import pytest
from sqlalchemy import select

from alignloop.io.labeling import labelers
from alignloop.io.labeling.labelers import Refused, TooMany
from alignloop.io.labeling.standing import stand
from alignloop.io.labeling.store import Store
from alignloop.io.labeling.tables import Event, Labeler, Visit

SECRET = "correct horse battery"


def test_a_link_lets_its_labeler_in_until_a_password_is_set_and_the_store_holds_neither(store: Store) -> None:
    link = labelers.invite(store, "labeler-ada", "labeler", "cli")
    first, second = labelers.accept(store, link, None), labelers.accept(store, link, SECRET)
    assert first != second
    with store.reading() as session:
        for cookie in (first, second):
            guest = labelers.guest(session, cookie)
            assert guest
            assert (guest.id, guest.role) == ("labeler-ada", "labeler")
        person = session.get_one(Labeler, "labeler-ada")
        assert (person.password or "").startswith("$argon2id$")
        kept = [*(visit.id for visit in session.scalars(select(Visit))), str(person.link), str(person.password)]
    assert not any(secret in text for text in kept for secret in (link, first, second, SECRET))
    with pytest.raises(Refused, match="no longer valid"):
        labelers.accept(store, link, None)
    assert labelers.sign_in(store, "labeler-ada", SECRET, "127.0.0.1")


def test_a_new_invitation_ends_the_old_link_and_every_visit(store: Store) -> None:
    old = labelers.invite(store, "labeler-ada", "labeler", "cli")
    cookie = labelers.accept(store, old, None)
    labelers.invite(store, "labeler-ada", "labeler", "cli")
    with store.reading() as session:
        assert labelers.guest(session, cookie) is None
    with pytest.raises(Refused):
        labelers.accept(store, old, None)


def test_links_and_visits_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    link = labelers.invite(store, "labeler-ada", "labeler", "cli")
    cookie = labelers.accept(store, link, None)
    now = time.time()
    monkeypatch.setattr(labelers.time, "time", lambda: now + labelers.VISIT_HOURS * 3600 + 1)
    with store.reading() as session:
        assert labelers.guest(session, cookie) is None
    monkeypatch.setattr(labelers.time, "time", lambda: now + labelers.LINK_DAYS * 86400 + 1)
    with pytest.raises(Refused):
        labelers.accept(store, link, None)


def test_guessing_is_stopped_by_name_and_told_in_the_audit(store: Store) -> None:
    labelers.accept(store, labelers.invite(store, "labeler-ada", "labeler", "cli"), SECRET)
    for _ in range(labelers.TRIES):
        with pytest.raises(Refused, match="do not fit"):
            labelers.sign_in(store, "labeler-ada", "wrong", "10.0.0.1")
    with pytest.raises(TooMany):
        labelers.sign_in(store, "labeler-ada", SECRET, "10.0.0.2")
    with store.reading() as session:
        failed = session.scalars(select(Event).where(Event.action == "sign-in failed")).all()
    assert [(event.actor, event.subject) for event in failed] == [("10.0.0.1", "labeler-ada")] * labelers.TRIES
    assert not any("wrong" in str(event.details) for event in failed)


def test_guessing_names_is_stopped_by_address(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelers, "TRIES", 1)
    for number in range(10):
        with pytest.raises(Refused, match="do not fit"):
            labelers.sign_in(store, f"labeler-{number}", SECRET, "10.0.0.1")
    with pytest.raises(TooMany):
        labelers.sign_in(store, "labeler-x", SECRET, "10.0.0.1")
    with pytest.raises(Refused, match="do not fit"):
        labelers.sign_in(store, "labeler-x", SECRET, "10.0.0.2")


def test_what_is_no_name_a_short_password_another_role_and_an_excluded_person_are_refused(store: Store) -> None:
    for name in ("ada", "labeler-", "labeler-Ada", "labeler-a b", "labeler-../x", "labeler-<b>"):
        with pytest.raises(Refused, match="no name for a labeler"):
            labelers.invite(store, name, "labeler", "cli")
    link = labelers.invite(store, "labeler-ada", "labeler", "cli")
    with pytest.raises(Refused, match="already known as labeler"):
        labelers.invite(store, "labeler-ada", "admin", "cli")
    with pytest.raises(Refused, match="10 characters"):
        labelers.accept(store, link, "short")
    stand(store, "labeler-ada", "excluded", "labeler-boss")
    with pytest.raises(Refused, match="not on this project"):
        labelers.accept(store, link, None)
