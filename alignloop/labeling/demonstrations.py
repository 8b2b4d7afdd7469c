"""Demonstrations by labelers: publishing prompts for them, and exporting what was written as records."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.labeling.database import LabelingDatabase, log_event
from alignloop.labeling.schema import Item, Labeler, Submission
from alignloop.records import Demonstration, Message, Prompt


def publish(database: LabelingDatabase, prompts: Sequence[Prompt]) -> int:
    """Publish prompts for which labelers write demonstrations, each once.

    Returns the number of new prompts.
    """
    with database.writing() as session:
        known = set(session.scalars(select(Item.key).where(Item.round == "demonstrate")))
        new = [prompt for prompt in prompts if prompt.id not in known]
        for prompt in new:
            columns = {
                "round": "demonstrate",
                "job": "demonstrate",
                "purpose": "work",
                "policy": "",
                "split": "train",
            }
            session.add(
                Item(key=prompt.id, prompt=prompt.model_dump(mode="json"), responses=[], wanted=1, **columns)
            )
        log_event(session, "command line", "publish prompts", "demonstrate", items=len(new))
    return len(new)


def written_demonstrations(session: Session) -> Iterator[Demonstration]:
    """Demonstrations by labelers who are not excluded.

    The user is the prompt's; for a conversation of which the labeler wrote both sides, it is the labeler.
    """
    query = (
        select(Submission, Item)
        .join(Item, Item.id == Submission.item)
        .join(Labeler, Labeler.id == Submission.labeler)
    )
    query = query.where(Submission.messages.is_not(None), Labeler.status != "excluded").order_by(
        Submission.assignment
    )
    for submission, item in session.execute(query):
        yield Demonstration(
            id=f"labeled-{item.key}-{submission.labeler}",
            messages=tuple(Message.model_validate(message) for message in submission.messages or ()),
            user=item.prompt.get("user", submission.labeler),
            labeler=submission.labeler,
            category=item.prompt.get("category", "other"),
            time=datetime.fromtimestamp(submission.submitted, UTC).isoformat(timespec="seconds"),
            source="labelers",
        )
