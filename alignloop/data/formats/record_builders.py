"""Our records from what a source says: ids made of the content, white space off the ends of what is said, first words as the user.

An importer's `name` stands in ids, and as labeler and category where the source names none.
"""

from collections.abc import Sequence
from typing import Literal

from alignloop.data.content_ids import identify
from alignloop.records import Demonstration, Message, Prompt, Ranking

Turns = Sequence[tuple[str, str]]  # who speaks, what is said


def messages(turns: Turns) -> tuple[Message, ...]:
    """The turns of a conversation. Raises ValidationError for a role that we do not know, or an empty turn."""
    return tuple(Message.model_validate({"role": role, "content": said.strip()}) for role, said in turns)


def prompt(
    name: str, turns: Turns, source: str, *, user: str = "", category: str = "", time: str = ""
) -> Prompt:
    """A conversation that waits for the assistant."""
    said = messages(turns)
    owner = identify(name, user or _first(said))
    id = identify(name, *(message.content for message in said))
    return Prompt(id=id, messages=said, user=owner, category=category or name, time=time, source=source)


def demonstration(
    name: str, turns: Turns, source: str, *, labeler: str = "", user: str = "", category: str = ""
) -> Demonstration:
    """A conversation whose assistant turns were written to be imitated."""
    said = messages(turns)
    return Demonstration(
        id=identify(name, *(message.content for message in said), labeler),
        messages=said,
        user=identify(name, user or _first(said)),
        labeler=labeler or name,
        category=category or name,
        source=source,
    )


def ranking(
    name: str,
    prompt: Prompt,
    responses: Sequence[str],
    ranks: Sequence[int],
    *,
    labeler: str = "",
    kind: Literal["person", "judge"] = "person",
    row: str = "",
) -> Ranking:
    """One labeler's order of some answers; `row` keeps the ids of a source apart where it repeats itself."""
    answers = tuple(response.strip() for response in responses)
    return Ranking(
        id=identify(name, prompt.id, *answers, *map(str, ranks), labeler, row),
        prompt=prompt,
        responses=answers,
        ranks=tuple(ranks),
        labeler=labeler or name,
        kind=kind,
        policy=name,
        round="imported",
        time=prompt.time,
    )


def _first(said: tuple[Message, ...]) -> str:
    return next((message.content for message in said if message.role == "user"), "")
