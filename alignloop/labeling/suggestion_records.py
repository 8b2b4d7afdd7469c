"""Suggestions of the chat page as binary labels: accepted, or a part of it, is good; dismissed is not.

The prompt is what the model got: the instruction to continue, and the text as it was typed.
"""

from collections import Counter
from typing import Any

from sqlalchemy.orm import Session

from alignloop.data.pii.redaction import redact
from alignloop.labeling import consent, suggestions
from alignloop.labeling.chat_records import (
    BEFORE,
    EARLIER,
    EMPTY,
    LABELS,
    LATER,
    NO_CONSENT,
    ROUND,
    SOURCE,
    ChatRecords,
    day_of,
)
from alignloop.labeling.consent import Consent, Statement
from alignloop.labeling.feedback_schema import Suggestion
from alignloop.records import BinaryLabel, Message, Prompt

SUGGESTIONS, CATEGORY = "suggestions", "suggestion"
UNDECIDED = "that were neither accepted nor dismissed"


def add_suggestions(session: Session, statement: Statement, found: ChatRecords, until: float) -> None:
    """Add the labels that may be used now of what was decided until a moment; count what gives none."""
    known, names = consent.consents(session, statement.version), consent.pseudonyms(session)
    for row in suggestions.all_suggestions(session):
        if reason := _left_out(row, known.get(row.owner, Consent()), until):
            found.left_out[SUGGESTIONS, reason] += 1
            continue
        found.records[LABELS].append(_label(row, names[row.owner], found.redacted))
        found.people.add(names[row.owner])


def _left_out(row: Suggestion, given: Consent, until: float) -> str | None:
    if not given.is_given:
        return EARLIER if given.earlier else NO_CONSENT
    if row.time is None:
        return UNDECIDED
    if row.time > until:
        return LATER
    if not (row.text.strip() and _said(row).strip()):
        return EMPTY
    return None if given.covers(row.created) else BEFORE


def _said(row: Suggestion) -> str:
    """The part of a completion that the label is on."""
    return row.taken if row.outcome in ("accepted", "part") else row.completion


def _label(row: Suggestion, name: str, redacted: Counter[str]) -> BinaryLabel:
    texts: list[str] = []
    for text in (row.text, _said(row)):
        clean, counts = redact(text)
        redacted.update(counts)
        texts.append(clean)
    id, day = f"chat-suggestion-{name}-{row.id}", day_of(row.created)
    messages = (Message(role="system", content=row.system), Message(role="user", content=texts[0]))
    about: dict[str, Any] = {"user": name, "category": CATEGORY, "source": SOURCE + row.model}
    return BinaryLabel(
        id=id,
        prompt=Prompt(id=f"{id}-prompt", messages=messages, time=day, **about),
        response=texts[1].strip(),
        good=row.outcome != "dismissed",
        labeler=f"labeler-{name}",
        by="person",
        policy=row.model,
        round=ROUND,
        time=day,
    )
