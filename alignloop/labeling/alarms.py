"""Alarms on versions, as lines of the audit: each is raised once."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.labeling.database import LabelingDatabase, log_event
from alignloop.labeling.schema import Event

THUMBS_DOWN = "alarm: thumbs down"


def known(session: Session, version: str, before: str) -> Event | None:
    """The alarm on a version as against the one before, if it was raised."""
    query = select(Event).where(Event.action == THUMBS_DOWN, Event.subject == version).order_by(Event.id)
    return next((each for each in session.scalars(query) if each.details["before"] == before), None)


def raise_once(database: LabelingDatabase, version: str, before: str, **details: float) -> bool:
    """Write an alarm into the audit unless it is there; whether it is new."""
    with database.writing() as session:
        if known(session, version, before):
            return False
        log_event(session, "watch", THUMBS_DOWN, version, before=before, **details)
        return True
