"""Consent of people who chat to the use of what they say: what they were asked, and what they decided.

A statement is a text and a licence, with a hash of both as its version. Consent is off until a person agrees,
and a changed statement needs a new one. It covers what was said since the person agreed without a break.
"""

import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import ascii_lowercase

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from alignloop.errors import AlignloopError
from alignloop.labeling import suggestions
from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError, log_event
from alignloop.labeling.feedback_schema import ChatPerson, ConsentDecision, ConsentStatement

VERSION_CHARACTERS = 12


class StatementError(AlignloopError):
    """The statement cannot be read; the message names the file."""


class StatementChanged(LabelingDatabaseError):
    """A person decided on another statement than the present one."""


@dataclass(frozen=True)
class Statement:
    """What people are asked to agree to; `licence` is that of the records made of what they say."""

    text: str
    licence: str

    @property
    def version(self) -> str:
        """A hash of text and licence."""
        content = f"{self.licence}\n{self.text}".encode()
        return sha256(content).hexdigest()[:VERSION_CHARACTERS]


@dataclass(frozen=True)
class Consent:
    """What a person has decided: `since` is None without consent to the present statement.

    `earlier` says that the person agreed to an earlier statement, and has not withdrawn.
    """

    since: float | None = None
    earlier: bool = False

    @property
    def is_given(self) -> bool:
        """Whether what the person says now may be used."""
        return self.since is not None

    def covers(self, moment: float) -> bool:
        """Whether what was said then may be used."""
        return self.since is not None and moment >= self.since


def read_statement(root: Path, file: str, licence: str) -> Statement:
    """The statement in a file. Raises StatementError."""
    try:
        text = (root / file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StatementError(
            f"{file}: cannot be read: {error}; write what people agree to, or correct serving.consent"
        ) from None
    if not text:
        raise StatementError(f"{file}: is empty; write what people who chat agree to")
    try:
        return Statement(text, canonicalize_license_expression(licence))
    except InvalidLicenseExpression:
        raise StatementError(
            f"serving.feedback_licence: '{licence}' is not an SPDX expression; write one "
            "(https://spdx.org/licenses), or LicenseRef-NAME where SPDX has none"
        ) from None


def record_statement(database: LabelingDatabase, statement: Statement) -> None:
    """Keep a statement, so that decisions can refer to it."""
    with database.writing() as session:
        if session.get(ConsentStatement, statement.version) is None:
            values = {"version": statement.version, "text": statement.text, "licence": statement.licence}
            session.add(ConsentStatement(since=time.time(), **values))
            log_event(session, "chat", "new consent statement", statement.version)


def decide(
    database: LabelingDatabase, owner: str, statement: Statement, *, version: str, agreed: bool
) -> None:
    """Save what an owner of conversations decided. It is on disk then; the same again changes nothing.

    Raises StatementChanged if the person read another version of the statement.
    """
    if agreed and version != statement.version:
        raise StatementChanged("The statement has changed meanwhile: read it again.")
    with database.writing() as session:
        last = session.scalar(_decisions([owner]).order_by(ConsentDecision.id.desc()).limit(1))
        if last is None and not agreed:
            return
        if last and last.agreed == agreed and (not agreed or last.version == version):
            return
        if agreed and session.get(ChatPerson, owner) is None:
            session.add(ChatPerson(owner=owner, pseudonym=_pseudonym()))
        if not agreed:
            suggestions.delete_of_owners(session, [owner])  # kept with consent alone
        session.add(ConsentDecision(owner=owner, version=statement.version, agreed=agreed, time=time.time()))
        log_event(session, owner, "agree" if agreed else "withdraw consent", statement.version)


def consents(session: Session, version: str, owners: Sequence[str] | None = None) -> dict[str, Consent]:
    """What each owner who has decided anything decided; `version` is that of the present statement."""
    decisions: dict[str, list[ConsentDecision]] = defaultdict(list)
    for decision in session.scalars(_decisions(owners).order_by(ConsentDecision.id)):
        decisions[decision.owner].append(decision)
    return {owner: _consent(each, version) for owner, each in decisions.items()}


def consent_of(session: Session, owner: str, version: str) -> Consent:
    """What one owner decided."""
    return consents(session, version, [owner]).get(owner, Consent())


def pseudonyms(session: Session) -> dict[str, str]:
    """The name of each owner in exported records."""
    return {each.owner: each.pseudonym for each in session.scalars(select(ChatPerson))}


def delete_of_owners(session: Session, owners: Sequence[str]) -> None:
    """Delete the decisions of some owners, and their names in records."""
    suggestions.delete_of_owners(session, owners)
    session.execute(delete(ConsentDecision).where(ConsentDecision.owner.in_(owners)))
    session.execute(delete(ChatPerson).where(ChatPerson.owner.in_(owners)))


def _decisions(owners: Sequence[str] | None) -> Select[ConsentDecision]:
    query = select(ConsentDecision)
    return query if owners is None else query.where(ConsentDecision.owner.in_(owners))


def _consent(decisions: Sequence[ConsentDecision], version: str) -> Consent:
    since = None
    for decision in reversed(decisions):
        if not decision.agreed:
            break
        since = decision.time
    if since is None:
        return Consent()
    return Consent(since) if decisions[-1].version == version else Consent(earlier=True)


def _pseudonym() -> str:
    """Letters alone, so that it never looks like personal data."""
    return "chat-" + "".join(secrets.choice(ascii_lowercase) for _ in range(16))
