"""Labelers: invited by an administrator, signed in by a personal link or a password, paused or excluded; and their visits."""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from alignloop.labeling.database import Store, StoreError, note
from alignloop.labeling.schema import Event, Labeler, Role, Standing, Visit

LINK_DAYS = 14
VISIT_HOURS = 12
PASSWORD = 10  # characters at least
TRIES, WINDOW = 5, 15 * 60  # failed sign-ins per name, and ten times as many per address, in so many seconds
NAME = re.compile(r"labeler-[a-z0-9][a-z0-9-]{0,40}")
T = TypeVar("T")
_hasher = PasswordHasher()
_NOBODY = _hasher.hash(
    secrets.token_hex()
)  # checked where the name is unknown, so that the time taken does not tell
_hashing = BoundedSemaphore(2)  # each takes 64 MiB for a moment
_GUEST = select(Labeler.id, Labeler.role, Labeler.standing, Labeler.qualified, Labeler.score, Visit.form_key)
_GUEST = _GUEST.join(Visit, Visit.labeler == Labeler.id).where(
    Visit.id == bindparam("visit"), Visit.expires > bindparam("now")
)


@dataclass(frozen=True)
class Guest:
    """Who is signed in, and the key that this visit's forms carry."""

    id: str
    role: Role
    standing: Standing
    qualified: bool | None
    score: float | None
    form_key: str


class Refused(StoreError):
    """A sign-in or an invitation is refused; the message is for the person."""


class TooMany(Refused):
    """Too many sign-ins failed; the person has to wait."""


def invite(store: Store, id: str, role: Role, actor: str) -> str:
    """Make a labeler known, or give a known one a new link, and return the link's secret, which is stored nowhere."""
    if not NAME.fullmatch(id):
        raise Refused(
            f"'{id}' is no name for a labeler: write labeler- and then small letters, digits or dashes, as in labeler-ada"
        )
    secret = secrets.token_urlsafe(32)
    with store.writing() as session:
        person = session.get(Labeler, id) or Labeler(id=id, role=role, created=time.time())
        if person.role != role:
            raise Refused(f"{id} is already known as {person.role}; choose another name for the {role}")
        person.link, person.link_expires, person.password = (
            _hash(secret),
            time.time() + LINK_DAYS * 86400,
            None,
        )
        session.add(person)
        session.execute(delete(Visit).where(Visit.labeler == id))
        note(session, actor, "invite", id, role=role)
    return secret


def invited(session: Session, secret: str) -> Labeler:
    """Whom a personal link is for."""
    person = session.scalar(select(Labeler).where(Labeler.link == _hash(secret)))
    if person is None or (person.link_expires or 0) < time.time():
        raise Refused("This link is no longer valid. Ask for a new one, or sign in with your password.")
    return person


def accept(store: Store, secret: str, password: str | None) -> str:
    """Sign in by a personal link and return the visit's cookie; with a password set, the link has done its work."""
    if password is not None and len(password) < PASSWORD:
        raise Refused(f"A password needs {PASSWORD} characters at least.")
    hashed = None if password is None else _slowly(lambda: _hasher.hash(password))
    with store.writing() as session:
        person = invited(session, secret)
        if hashed:
            person.password, person.link, person.link_expires = hashed, None, None
        return _begin(session, person, "link")


def sign_in(store: Store, id: str, password: str, address: str) -> str:
    """Sign in by password and return the visit's cookie. Failures are counted by name and by address."""
    with store.reading() as session:
        failed = (
            select(func.count())
            .select_from(Event)
            .where(Event.action == "sign-in failed", Event.time > time.time() - WINDOW)
        )
        tries = session.scalar(failed.where(Event.subject == id)) or 0
        near = session.scalar(failed.where(Event.actor == address)) or 0
        person = session.get(Labeler, id)
    if tries >= TRIES or near >= 10 * TRIES:
        raise TooMany(f"Too many failed sign-ins. Wait {WINDOW // 60} minutes, or ask for a new link.")
    known = person.password if person and person.password else _NOBODY
    right = _slowly(lambda: _verify(known, password)) and known is not _NOBODY
    with store.writing() as session:
        if person is None or not right:
            note(session, address, "sign-in failed", id[:50])
        else:
            return _begin(session, session.get_one(Labeler, id), "password")
    raise Refused("Name and password do not fit together.")


def guest(session: Session, cookie: str) -> Guest | None:
    """Who holds this cookie."""
    row = session.execute(_GUEST, {"visit": _hash(cookie), "now": time.time()}).one_or_none()
    return None if row is None else Guest(*row)


def sign_out(store: Store, cookie: str) -> None:
    """End the visit."""
    with store.writing() as session:
        session.execute(delete(Visit).where(Visit.id == _hash(cookie)))


def administrators(session: Session) -> int:
    """How many people may administer."""
    known = (
        select(func.count()).select_from(Labeler).where(Labeler.role == "admin", Labeler.standing == "active")
    )
    return (
        session.scalar(known.where(Labeler.password.is_not(None) | (Labeler.link_expires > time.time()))) or 0
    )


def _begin(session: Session, person: Labeler, means: str) -> str:
    if person.standing == "excluded":
        raise Refused("You are not on this project any more. Ask its administrator.")
    cookie = secrets.token_urlsafe(32)
    session.execute(delete(Visit).where(Visit.expires < time.time()))
    session.add(
        Visit(
            id=_hash(cookie),
            labeler=person.id,
            form_key=secrets.token_urlsafe(24),
            expires=time.time() + VISIT_HOURS * 3600,
        )
    )
    note(session, person.id, "sign in", person.id, means=means)
    return cookie


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()  # 256 random bits need no slow hash


def _verify(known: str, password: str) -> bool:
    try:
        return _hasher.verify(known, password)
    except (VerificationError, InvalidHashError):
        return False


def _slowly(work: Callable[[], T]) -> T:
    with _hashing:
        return work()
