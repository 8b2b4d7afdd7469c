"""Invitation, sign-in and sessions, and protection against password guessing."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from alignloop.labeling import accounts, sign_in_limits
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.qualification import set_status
from alignloop.labeling.schema import Event, Labeler, SignInSession
from alignloop.labeling.sign_in_limits import AccessRefused, TooManySignIns

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
        assert accounts.signed_in_account(session, first) is None, "setting a password ends other sessions"
        account = accounts.signed_in_account(session, second)
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


@pytest.fixture
def ada(database: LabelingDatabase) -> str:
    """An account with a password: the cookie of its session."""
    link = accounts.invite(database, "labeler-ada", "labeler", "cli")
    return accounts.accept_invitation(database, link, SECRET)


def guess(database: LabelingDatabase, name: str, address: str, token: str = "") -> str:
    """How a wrong password is answered."""
    try:
        accounts.sign_in(database, name, "wrong", address, token)
    except TooManySignIns:
        return "too many"
    except AccessRefused:
        return "refused"
    return "in"


def test_guesses_of_a_name_are_limited_where_they_come_from_and_recorded(
    database: LabelingDatabase, ada: str
) -> None:
    answers = [guess(database, "labeler-ada", "10.0.0.1") for _ in range(7)]
    assert answers == ["refused"] * 5 + ["too many"] * 2
    with pytest.raises(TooManySignIns):
        accounts.sign_in(database, "labeler-ada", SECRET, "10.0.0.1")
    assert accounts.sign_in(database, "labeler-ada", SECRET, "10.0.0.2"), "the right password from elsewhere"
    with database.reading() as session:
        failed = session.scalars(select(Event).where(Event.action == "sign-in failed")).all()
    assert [(event.actor, event.subject) for event in failed] == [("10.0.0.1", "labeler-ada")] * 5
    assert not any("wrong" in str(event.details) for event in failed)


def test_a_browser_that_has_signed_in_before_is_not_locked_out_by_guesses_of_others(
    database: LabelingDatabase, ada: str
) -> None:
    token = accounts.known_browser_token(database, ada)
    assert token
    for number in range(60):
        guess(database, "labeler-ada", f"10.0.{number}.1")
    assert guess(database, "labeler-ada", "10.9.9.9") == "too many", "from all addresses together"
    assert accounts.sign_in(database, "labeler-ada", SECRET, "10.0.0.1", token)
    for forged in ("", "x", "ü", token[:-1]):
        assert guess(database, "labeler-ada", "10.9.9.9", forged) == "too many"
    answers = [guess(database, "labeler-ada", "10.0.0.1", token) for _ in range(7)]
    assert answers == ["refused"] * 5 + ["too many"] * 2, "a stolen browser guesses no more than others"
    link = accounts.invite(database, "labeler-ada", "labeler", "cli")
    accounts.accept_invitation(database, link, SECRET + "2")
    assert guess(database, "labeler-ada", "10.9.9.9", token) == "too many", "a new password makes it void"


def test_right_passwords_do_not_count_as_guesses(database: LabelingDatabase, ada: str) -> None:
    for _ in range(8):
        assert accounts.sign_in(database, "labeler-ada", SECRET, "10.0.0.1")


def test_an_address_is_limited_but_the_address_of_a_tunnel_or_proxy_is_not_one_person(
    database: LabelingDatabase, ada: str
) -> None:
    for number in range(50):
        assert guess(database, f"labeler-{number}", "10.0.0.1") == "refused"
        assert guess(database, f"labeler-{number}", "127.0.0.1") == "refused"
    assert guess(database, "labeler-x", "10.0.0.1") == "too many"
    assert guess(database, "labeler-x", "10.0.0.2") == "refused"
    assert accounts.sign_in(database, "labeler-ada", SECRET, "127.0.0.1")


def test_links_that_do_not_exist_are_counted_without_work_and_real_ones_still_open(
    database: LabelingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = accounts.invite(database, "labeler-ada", "labeler", "cli")
    monkeypatch.setattr(accounts, "_limited", lambda work: pytest.fail("a stranger's password was hashed"))
    for number in range(50):
        with pytest.raises(AccessRefused, match="no longer valid"):
            accounts.accept_invitation(database, f"made up {number}", SECRET, "10.0.0.1")
    with pytest.raises(TooManySignIns):
        accounts.accept_invitation(database, "made up", SECRET, "10.0.0.1")
    assert accounts.accept_invitation(database, link, None, "10.0.0.1")


def test_guesses_sent_together_are_counted_like_guesses_one_by_one(
    database: LabelingDatabase, ada: str
) -> None:
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: guess(database, "labeler-ada", "10.0.0.1"), range(60)))
    assert sorted(answers) == ["refused"] * 5 + ["too many"] * 55
    assert sign_in_limits.MAX_GUESSES == 5


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


def test_the_first_start_has_a_link_that_works_and_later_ones_say_how_to_get_another(
    database: LabelingDatabase,
) -> None:
    words = accounts.administrators_link(database, "http://127.0.0.1:4300/")
    link = re.fullmatch(
        r"no administrator yet; sign in at http://127\.0\.0\.1:4300/invitation/([\w-]{43})", words
    )
    assert link
    again = accounts.administrators_link(database, "http://127.0.0.1:4300/")
    assert "python -m alignloop label invite labeler-admin --role admin" in again
    assert "/invitation/" not in again
    assert accounts.accept_invitation(database, link[1], "correct horse battery")
    assert accounts.administrators_link(database, "http://127.0.0.1:4300/") == ""
    set_status(database, "labeler-admin", "excluded", "labeler-boss")
    with pytest.raises(AccessRefused, match="excluded"):
        accounts.sign_in(database, "labeler-admin", "correct horse battery", "10.0.0.1")


@pytest.mark.parametrize("typed", ["ada", " ada ", "labeler-ada", " labeler-ada"])
def test_a_name_is_the_same_with_and_without_its_prefix(typed: str) -> None:
    assert accounts.account_name(typed) == "labeler-ada"
