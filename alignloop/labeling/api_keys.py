"""Keys of the API: created by a command, stored as hashes, with scopes and limits of requests."""

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError, is_postgresql, log_event
from alignloop.labeling.serving_schema import ApiKey, ApiUse

Scope = Literal["models", "chat", "completions", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
OF_PROGRAMS: tuple[Scope, ...] = ("models", "chat", "completions")  # if nothing else is said
PREFIX = "al-"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,40}")
WINDOWS = {"minute": 60, "day": 86400}


class ApiKeyError(LabelingDatabaseError):
    """A key cannot be created or revoked."""


class InvalidKey(LabelingDatabaseError):
    """There is no such key, or it was revoked."""


class MissingScope(LabelingDatabaseError):
    """The key may not do this."""


@dataclass(frozen=True)
class Allowance:
    """What a key may still do in the window that is used up most."""

    key: str
    limit: int | None  # requests in the window; None: unlimited
    left: int
    reset_seconds: int


class LimitExceeded(LabelingDatabaseError):
    """The key has used its requests of a minute or a day; `seconds` is when the next window begins."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


def create(
    database: LabelingDatabase,
    name: str,
    scopes: Sequence[Scope],
    per_minute: int | None,
    per_day: int | None,
) -> str:
    """Create a key and return it; it is shown this once. Raises ApiKeyError if the name is taken."""
    if not NAME.fullmatch(name):
        raise ApiKeyError(f"'{name}' is no valid name of a key; write small letters, digits, dots or dashes")
    key = PREFIX + secrets.token_urlsafe(32)
    with database.writing() as session:
        if session.scalar(select(ApiKey).where(ApiKey.name == name)):
            raise ApiKeyError(f"there is a key {name} already; choose another name")
        session.add(
            ApiKey(
                name=name,
                hash=_hash(key),
                scopes=list(scopes),
                per_minute=per_minute,
                per_day=per_day,
                created=time.time(),
            )
        )
        log_event(session, "command line", "create API key", name, scopes=list(scopes))
    return key


def revoke(database: LabelingDatabase, name: str) -> None:
    """Make a key invalid from now on. Raises ApiKeyError if there is none of this name."""
    with database.writing() as session:
        key = session.scalar(select(ApiKey).where(ApiKey.name == name, ApiKey.revoked.is_(None)))
        if key is None:
            raise ApiKeyError(f"there is no key {name}; `python -m alignloop chat keys` lists them")
        key.revoked = time.time()
        log_event(session, "command line", "revoke API key", name)


def all_keys(session: Session) -> list[ApiKey]:
    """All keys, the oldest first, with those that were revoked."""
    return list(session.scalars(select(ApiKey).order_by(ApiKey.id)))


def use(database: LabelingDatabase, key: str, scope: Scope, now: float | None = None) -> Allowance:
    """Count one request of a key. Raises InvalidKey, MissingScope or LimitExceeded.

    A refused request does not count.
    """
    now = time.time() if now is None else now
    hash = _hash(key)
    with database.reading() as session:  # before any writing for a stranger
        _valid(session, hash, scope, is_locked=False)
    with database.writing(flush=False) as session:
        found = _valid(session, hash, scope, is_locked=True)
        allowances = []
        for window, limit in (("minute", found.per_minute), ("day", found.per_day)):
            if limit is not None:
                allowances.append(_count(session, found, window, limit, now))
    return min(allowances, key=lambda each: each.left, default=Allowance(found.name, None, 0, 0))


def _valid(session: Session, hash: str, scope: Scope, is_locked: bool) -> ApiKey:
    query = select(ApiKey).where(ApiKey.hash == hash)
    if is_locked and is_postgresql(session):  # SQLite has one writer at a time
        query = query.with_for_update()
    found = session.scalar(query)
    if found is None or found.revoked is not None:
        raise InvalidKey("this API key is not valid: it was never created here, or it was revoked")
    if scope not in found.scopes:
        raise MissingScope(
            f"the API key {found.name} has no scope '{scope}'; it has {', '.join(found.scopes)}"
        )
    return found


def _count(session: Session, key: ApiKey, window: str, limit: int, now: float) -> Allowance:
    seconds = WINDOWS[window]
    start = int(now) // seconds * seconds
    reset = start + seconds - int(now)
    use = session.get(ApiUse, (key.id, window, start))
    if use is None:
        past = (ApiUse.key == key.id) & (ApiUse.window == window) & (ApiUse.start < start)
        session.execute(delete(ApiUse).where(past))
        use = ApiUse(key=key.id, window=window, start=start, requests=0)
        session.add(use)
    if use.requests >= limit:
        raise LimitExceeded(
            f"the API key {key.name} has made its {limit} requests of this {window}; "
            f"the next {window} begins in {reset} s (UTC)",
            reset,
        )
    use.requests += 1
    return Allowance(key.name, limit, limit - use.requests, reset)


def _hash(key: str) -> str:
    return sha256(key.encode("utf-8", "replace")).hexdigest()  # 256 random bits need no slow hash
