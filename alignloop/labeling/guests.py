"""Guests of the chat page: a browser without an account, known by a cookie for some days."""

import secrets
import time
from hashlib import sha256

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from alignloop.labeling import consent
from alignloop.labeling.conversations import delete_of_owners
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.serving_schema import GuestSession
from alignloop.labeling.sign_in_limits import TooManySignIns

GUEST_DAYS = 7
MAX_GUESTS = 10_000


def start_session(database: LabelingDatabase) -> str:
    """Begin a guest's session and return its cookie; what expired guests left is deleted.

    Raises TooManySignIns if there are too many guests.
    """
    cookie = secrets.token_urlsafe(32)
    with database.writing(flush=False) as session:
        expired = list(session.scalars(select(GuestSession.owner).where(GuestSession.expires < time.time())))
        delete_of_owners(session, expired)
        consent.delete_of_owners(session, expired)
        session.execute(delete(GuestSession).where(GuestSession.owner.in_(expired)))
        if (session.scalar(select(func.count()).select_from(GuestSession)) or 0) >= MAX_GUESTS:
            raise TooManySignIns("There are too many guests now. Come back later, or sign in.")
        session.add(
            GuestSession(
                id=_hash(cookie),
                owner=f"guest-{secrets.token_hex(8)}",
                form_key=secrets.token_urlsafe(24),
                expires=time.time() + GUEST_DAYS * 86400,
            )
        )
    return cookie


def guest_of(session: Session, cookie: str) -> GuestSession | None:
    """The guest whose browser sends this cookie."""
    found = session.get(GuestSession, _hash(cookie))
    return found if found and found.expires > time.time() else None


def _hash(cookie: str) -> str:
    return sha256(cookie.encode("utf-8", "replace")).hexdigest()
