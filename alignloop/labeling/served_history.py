"""What the chat server counted, by the hour: increases of its Prometheus counters and histograms.

Several servers on one database, and one that is started again, add to the same rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from alignloop.labeling.database import LabelingDatabase, is_postgresql
from alignloop.labeling.serving_schema import ServedNumber

HOUR = 3600
KEPT_DAYS = 92


@dataclass(frozen=True)
class Sample:
    """A number with its labels: how much it grew in the hour that began at `hour` (seconds since 1970)."""

    hour: int
    name: str
    labels: Mapping[str, str]
    value: float


Growth = tuple[str, Mapping[str, str], float]  # name, labels, by how much


def add(database: LabelingDatabase, now: float, grown: Sequence[Growth]) -> None:
    """Add what numbers have grown by to the hour of `now`, and forget hours before the last KEPT_DAYS days.

    A crash of the machine may lose the last additions.
    """
    hour = int(now) // HOUR * HOUR
    with database.writing(flush=False) as session:
        insert = postgresql.insert if is_postgresql(session) else sqlite.insert
        for name, labels, value in grown:
            row = {"hour": hour, "name": name, "key": _key(labels), "labels": dict(labels), "value": value}
            statement = insert(ServedNumber).values(**row)
            total = ServedNumber.value + statement.excluded.value
            session.execute(
                statement.on_conflict_do_update(index_elements=["hour", "name", "key"], set_={"value": total})
            )
        session.execute(delete(ServedNumber).where(ServedNumber.hour < hour - KEPT_DAYS * 24 * HOUR))


def read(session: Session, since: float) -> list[Sample]:
    """All samples of the hours from that of `since` on, the earliest first."""
    query = select(ServedNumber).where(ServedNumber.hour >= int(since) // HOUR * HOUR)
    rows = session.scalars(query.order_by(ServedNumber.hour, ServedNumber.name, ServedNumber.key))
    return [Sample(each.hour, each.name, each.labels, each.value) for each in rows]


def _key(labels: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in sorted(labels.items()))
