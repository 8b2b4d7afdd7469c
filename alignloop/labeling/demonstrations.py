"""Demonstrations by people: prompts that wait for one, and the conversations that labelers wrote, as records."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.labeling.database import Store, note
from alignloop.labeling.schema import Answer, Item, Labeler
from alignloop.records import Demonstration, Message, Prompt


def publish(store: Store, prompts: Sequence[Prompt]) -> int:
    """Offer prompts to be answered, each once. Returns how many are new."""
    with store.writing() as session:
        known = set(session.scalars(select(Item.key).where(Item.round == "demonstrate")))
        new = [prompt for prompt in prompts if prompt.id not in known]
        for prompt in new:
            what = {
                "round": "demonstrate",
                "job": "demonstrate",
                "purpose": "work",
                "policy": "",
                "split": "train",
            }
            session.add(
                Item(key=prompt.id, prompt=prompt.model_dump(mode="json"), responses=[], wanted=1, **what)
            )
        note(session, "command line", "publish prompts", "demonstrate", items=len(new))
    return len(new)


def written(session: Session) -> Iterator[Demonstration]:
    """What labelers wrote who are not excluded. Who wrote both sides is the user too."""
    query = (
        select(Answer, Item).join(Item, Item.id == Answer.item).join(Labeler, Labeler.id == Answer.labeler)
    )
    query = query.where(Answer.messages.is_not(None), Labeler.standing != "excluded").order_by(
        Answer.assignment
    )
    for answer, item in session.execute(query):
        yield Demonstration(
            id=f"labeled-{item.key}-{answer.labeler}",
            messages=tuple(Message.model_validate(message) for message in answer.messages or ()),
            user=item.prompt.get("user", answer.labeler),
            labeler=answer.labeler,
            category=item.prompt.get("category", "other"),
            time=datetime.fromtimestamp(answer.submitted, UTC).isoformat(timespec="seconds"),
            source="labelers",
        )
