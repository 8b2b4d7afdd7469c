"""How much people chat and say about it, and what waits for a person, in a time."""

from dataclasses import dataclass
from statistics import median

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from alignloop.labeling.escalation_schema import Escalation
from alignloop.labeling.feedback_schema import ResponseComparison, ResponseFeedback
from alignloop.labeling.serving_schema import ChatMessage


@dataclass(frozen=True)
class ChatActivity:
    """Counts of a time; `answer_seconds` is the median from an escalation to its answer or refusal."""

    responses: int
    thumbs: int
    thumbs_down: int
    edits: int
    comparisons: int
    choices: int
    escalations: int
    escalations_open: int  # now, whenever they came
    answer_seconds: float | None

    def per_hundred(self, count: int) -> str:
        """A count for every hundred responses; a dash without responses."""
        return f"{100 * count / self.responses:.1f}" if self.responses else "–"


def activity(session: Session, since: float) -> ChatActivity:
    """What has happened since a time that is still there: deleted conversations take their part along."""

    def count(*conditions: ColumnElement[bool]) -> int:
        return session.scalar(select(func.count()).where(*conditions)) or 0

    rated = ResponseFeedback.time >= since
    thumb = ResponseFeedback.kind == "thumb"
    closed = select(Escalation.created, Escalation.closed).where(Escalation.closed >= since)
    waits = [end - begin for begin, end in session.execute(closed) if end is not None]
    return ChatActivity(
        responses=count(ChatMessage.role == "assistant", ChatMessage.created >= since),
        thumbs=count(rated, thumb),
        thumbs_down=count(rated, thumb, ResponseFeedback.is_up.is_(False)),
        edits=count(rated, ResponseFeedback.kind == "edit"),
        comparisons=count(ResponseComparison.created >= since),
        choices=count(ResponseComparison.time >= since),
        escalations=count(Escalation.created >= since),
        escalations_open=count(Escalation.state == "open"),
        answer_seconds=median(waits) if waits else None,
    )
