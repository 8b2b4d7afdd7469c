"""Limits on guesses of passwords and links.

An attempt is counted before its password is checked, in one transaction with the check of the limits, so
that guesses sent together are counted like guesses sent one by one. A browser that has signed in to an
account before has limits of its own: what others guess does not lock its owner out.
"""

import hmac
import ipaddress
import time
from hashlib import sha256

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from alignloop.labeling.database import LabelingDatabaseError, is_postgresql, log_event
from alignloop.labeling.schema import Event, Labeler

MAX_GUESSES = 5  # of one name from one address, or from the browsers that its owner has used
MAX_GUESSES_OF_NAME = 50  # from all addresses together
MAX_GUESSES_FROM_ADDRESS = 50
MAX_GUESSES_FROM_LOOPBACK = 1000  # where all people come through one tunnel or proxy
WINDOW = 15 * 60  # seconds
ATTEMPT, ATTEMPT_OF_KNOWN = "sign-in attempt", "sign-in attempt of a known browser"
SUCCESS, LINK_REFUSED = "sign in", "link refused"
_COUNTER_LOCK = 72_316_005  # any number: one process counts attempts in PostgreSQL at a time


class AccessRefused(LabelingDatabaseError):
    """A sign-in or an invitation is refused; the message is for the person."""


class TooManySignIns(AccessRefused):
    """Too many sign-ins have failed; the person must wait."""


def known_browser_token(person: Labeler) -> str:
    """What a browser keeps after a sign-in by password; a new password makes it void."""
    return hmac.new((person.password or "").encode(), person.id.encode(), sha256).hexdigest()


def is_known_browser(person: Labeler | None, token: str) -> bool:
    """Whether the browser that sends this token has signed in to the account before."""
    if person is None or person.password is None:
        return False
    return hmac.compare_digest(known_browser_token(person).encode(), token.encode())


def count_attempt(session: Session, id: str, address: str, is_known: bool) -> None:
    """Count an attempt to sign in. Raises TooManySignIns if there have been too many that failed."""
    _lock_counters(session)
    name = id[:50]
    if is_known:
        counts = [(_failures(session, ATTEMPT_OF_KNOWN, name, None), MAX_GUESSES)]
    else:
        counts = [
            (_failures(session, ATTEMPT, name, address), MAX_GUESSES),
            (_failures(session, ATTEMPT, name, None), MAX_GUESSES_OF_NAME),
            (_failures(session, ATTEMPT, None, address), _most_from(address)),
        ]
    _refuse_over_limit(counts)
    log_event(session, address, ATTEMPT_OF_KNOWN if is_known else ATTEMPT, name)


def count_refused_link(session: Session, address: str) -> None:
    """Count a request with a link that does not exist. Raises TooManySignIns if there have been too many."""
    _lock_counters(session)
    refused = _count(session, LINK_REFUSED, Event.actor == address)
    _refuse_over_limit([(refused, _most_from(address))])
    log_event(session, address, LINK_REFUSED)


def log_success(session: Session, person: Labeler, means: str, address: str, is_known: bool) -> None:
    """Record a sign-in, which takes its attempt off the failed ones."""
    attempt = {"after": ATTEMPT_OF_KNOWN if is_known else ATTEMPT, "from": address}
    log_event(session, person.id, SUCCESS, person.id, means=means, **attempt)


def _failures(session: Session, attempt: str, name: str | None, address: str | None) -> int:
    """Number of attempts in the window without a success; those still being checked count as failed."""
    attempts, successes = [], [Event.details["after"].as_string() == attempt]
    if name is not None:
        attempts.append(Event.subject == name)
        successes.append(Event.subject == name)
    if address is not None:
        attempts.append(Event.actor == address)
        successes.append(Event.details["from"].as_string() == address)
    return _count(session, attempt, *attempts) - _count(session, SUCCESS, *successes)


def _count(session: Session, action: str, *conditions: ColumnElement[bool]) -> int:
    recent = (Event.action == action) & (Event.time > time.time() - WINDOW)
    return session.scalar(select(func.count()).select_from(Event).where(recent, *conditions)) or 0


def _refuse_over_limit(counts: list[tuple[int, int]]) -> None:
    if any(count >= most for count, most in counts):
        raise TooManySignIns(f"Too many failed sign-ins. Wait {WINDOW // 60} minutes, or ask for a new link.")


def _most_from(address: str) -> int:
    """A tunnel or a proxy on this machine is not one person."""
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    return MAX_GUESSES_FROM_LOOPBACK if is_loopback else MAX_GUESSES_FROM_ADDRESS


def _lock_counters(session: Session) -> None:
    """Let one transaction count at a time; writers of SQLite wait for each other anyway."""
    if is_postgresql(session):
        session.execute(select(func.pg_advisory_xact_lock(_COUNTER_LOCK)))
