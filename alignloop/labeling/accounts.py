"""Accounts of labelers, reviewers and administrators: invitation links, passwords and sign-in sessions."""

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

from alignloop.labeling import sign_in_limits
from alignloop.labeling.database import LabelingDatabase, log_event
from alignloop.labeling.schema import Labeler, LabelerStatus, Role, SignInSession
from alignloop.labeling.sign_in_limits import AccessRefused

LINK_DAYS = 14
SESSION_HOURS = 12
MIN_PASSWORD_LENGTH = 10
PREFIX = "labeler-"
NAME = re.compile(rf"{PREFIX}[a-z0-9][a-z0-9-]{{0,40}}")
FIRST_ADMINISTRATOR = "labeler-admin"
T = TypeVar("T")
_hasher = PasswordHasher()
_DUMMY_HASH = _hasher.hash(secrets.token_hex())  # verified for unknown names: the time must not reveal them
_hashing = BoundedSemaphore(2)  # each hash takes 64 MiB for a moment
_ACCOUNT = select(
    Labeler.id,
    Labeler.role,
    Labeler.status,
    Labeler.qualified,
    Labeler.quiz_agreement,
    SignInSession.form_key,
)
_ACCOUNT = _ACCOUNT.join(SignInSession, SignInSession.labeler == Labeler.id).where(
    SignInSession.id == bindparam("session"), SignInSession.expires > bindparam("now")
)
_ACTIVE_ADMINISTRATORS = select(func.count()).select_from(Labeler)
_ACTIVE_ADMINISTRATORS = _ACTIVE_ADMINISTRATORS.where(Labeler.role == "admin", Labeler.status == "active")


@dataclass(frozen=True)
class SignedInAccount:
    """The account of a sign-in session, and the key that forms of this session must carry."""

    id: str
    role: Role
    status: LabelerStatus
    qualified: bool | None
    quiz_agreement: float | None
    form_key: str


def account_name(text: str) -> str:
    """The name of an account as it is typed, with or without `labeler-` before it."""
    name = text.strip()
    return name if name.startswith(PREFIX) else f"{PREFIX}{name}"


def invite(database: LabelingDatabase, id: str, role: Role, actor: str) -> str:
    """Create an account, or renew the invitation of an existing one, and return the secret of its link.

    Only a hash of the secret is stored. Renewing removes the password and ends all sessions of the account.
    """
    if not NAME.fullmatch(id):
        raise AccessRefused(
            f"'{id}' is not a valid labeler name; write small letters, digits or dashes, "
            f"as in ada or {PREFIX}ada"
        )
    secret = secrets.token_urlsafe(32)
    with database.writing() as session:
        person = session.get(Labeler, id) or Labeler(id=id, role=role, created=time.time())
        if person.role != role:
            raise AccessRefused(
                f"{id} already has the role {person.role}; choose another name for the {role}"
            )
        person.link = _hash(secret)
        person.link_expires = time.time() + LINK_DAYS * 86400
        person.password = None
        session.add(person)
        session.execute(delete(SignInSession).where(SignInSession.labeler == id))
        log_event(session, actor, "invite", id, role=role)
    return secret


def invited_labeler(session: Session, secret: str) -> Labeler:
    """The labeler whom an invitation link belongs to. Raises AccessRefused for an invalid or expired link."""
    person = session.scalar(select(Labeler).where(Labeler.link == _hash(secret)))
    if person is None or (person.link_expires or 0) < time.time():
        raise AccessRefused("This link is no longer valid. Ask for a new one, or sign in with your password.")
    return person


def is_invitation(session: Session, secret: str) -> bool:
    """Whether a link of this secret can be accepted."""
    try:
        return invited_labeler(session, secret) is not None
    except AccessRefused:
        return False


def accept_invitation(
    database: LabelingDatabase, secret: str, password: str | None, address: str = "command line"
) -> str:
    """Sign in by an invitation link and return the session's cookie.

    A password invalidates the link and ends the sessions that began with it.
    """
    try:
        with database.reading() as session:
            invited_labeler(session, secret)  # before any work for a stranger
    except AccessRefused:
        with database.writing(flush=False) as session:
            sign_in_limits.count_refused_link(session, address)
        raise
    if password is not None and len(password) < MIN_PASSWORD_LENGTH:
        raise AccessRefused(f"The password must have at least {MIN_PASSWORD_LENGTH} characters.")
    hashed = None if password is None else _limited(lambda: _hasher.hash(password))
    with database.writing() as session:
        person = invited_labeler(session, secret)
        if hashed:
            person.password = hashed
            person.link = person.link_expires = None
            session.execute(delete(SignInSession).where(SignInSession.labeler == person.id))
        cookie = _start_session(session, person)
        log_event(session, person.id, sign_in_limits.SUCCESS, person.id, means="link")
        return cookie


def sign_in(database: LabelingDatabase, id: str, password: str, address: str, known_browser: str = "") -> str:
    """Sign in by password and return the session's cookie; `known_browser` is the token of an earlier one."""
    with database.writing(flush=False) as session:
        person = session.get(Labeler, id)
        is_known = sign_in_limits.is_known_browser(person, known_browser)
        sign_in_limits.count_attempt(session, id, address, is_known)
    stored = person.password if person and person.password else _DUMMY_HASH
    is_right = _limited(lambda: _verify(stored, password)) and stored is not _DUMMY_HASH
    with database.writing() as session:
        person = session.get(Labeler, id)
        if person is not None and is_right and person.password == stored:
            cookie = _start_session(session, person)
            sign_in_limits.log_success(session, person, "password", address, is_known)
            return cookie
        log_event(session, address, "sign-in failed", id[:50])
    raise AccessRefused("Name and password do not match.")


def is_known_browser(database: LabelingDatabase, id: str, token: str) -> bool:
    """Whether the browser that sends this token has signed in to the account by its password before."""
    with database.reading() as session:
        return sign_in_limits.is_known_browser(session.get(Labeler, id), token)


def known_browser_token(database: LabelingDatabase, cookie: str) -> str | None:
    """The token that a browser with this session may keep; None for an account without a password."""
    with database.reading() as session:
        account = signed_in_account(session, cookie)
        person = session.get(Labeler, account.id) if account else None
        return sign_in_limits.known_browser_token(person) if person and person.password else None


def signed_in_account(session: Session, cookie: str) -> SignedInAccount | None:
    """The account whose session has this cookie."""
    row = session.execute(_ACCOUNT, {"session": _hash(cookie), "now": time.time()}).one_or_none()
    return None if row is None else SignedInAccount(*row)


def sign_out(database: LabelingDatabase, cookie: str) -> None:
    """End the session that has this cookie."""
    with database.writing() as session:
        session.execute(delete(SignInSession).where(SignInSession.id == _hash(cookie)))


def count_administrators(session: Session) -> int:
    """Number of active administrators who can sign in."""
    usable = Labeler.password.is_not(None) | (Labeler.link_expires > time.time())
    return session.scalar(_ACTIVE_ADMINISTRATORS.where(usable)) or 0


def administrators_link(database: LabelingDatabase, url: str) -> str:
    """What an operator has to know to sign in as administrator; empty if one has a password.

    Where no administrator can sign in, it has a new link, which is a secret.
    """
    with database.reading() as session:
        if session.scalar(_ACTIVE_ADMINISTRATORS.where(Labeler.password.is_not(None))):
            return ""
        is_invited = count_administrators(session) > 0
    if is_invited:
        return (
            "an administrator is invited and has set no password yet; a new link: "
            f"python -m alignloop label invite {FIRST_ADMINISTRATOR} --role admin"
        )
    secret = invite(database, FIRST_ADMINISTRATOR, "admin", "command line")
    return f"no administrator yet; sign in at {url.rstrip('/')}/invitation/{secret}"


def _start_session(session: Session, person: Labeler) -> str:
    if person.status == "excluded":
        raise AccessRefused("You are excluded from this project. Ask its administrator.")
    cookie = secrets.token_urlsafe(32)
    session.execute(delete(SignInSession).where(SignInSession.expires < time.time()))
    session.add(
        SignInSession(
            id=_hash(cookie),
            labeler=person.id,
            form_key=secrets.token_urlsafe(24),
            expires=time.time() + SESSION_HOURS * 3600,
        )
    )
    return cookie


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()  # 256 random bits need no slow hash


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _limited(work: Callable[[], T]) -> T:
    with _hashing:
        return work()
