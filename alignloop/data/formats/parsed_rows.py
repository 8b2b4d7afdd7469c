"""What `ingest` gets of a row: a record as the line to be written, traced to its own, and what decides whether it is; workers make it."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

from alignloop.data.content_ids import SEPARATOR, identify
from alignloop.data.formats import Changed, Item, Refused
from alignloop.data.record_files import Piece, line_of
from alignloop.records import Demonstration, Origin, Prompt, Ranking, Record


class Line(NamedTuple):
    """A record as it is written."""

    kind: type[Record]
    id: str
    text: str
    asked: bytes | None  # of a prompt a hash of all that it is


class Arrival(NamedTuple):
    """What one row of a source holds, or one of several things: why it is refused, or a record, and the prompt in it where there is one."""

    row: int
    refused: str | None
    user: str | None = None  # whose it is; a document is nobody's
    ways: tuple[str, ...] = ()  # in which the importer changed it
    record: Line | None = None
    prompt: Line | None = None


def gather(read: Callable[[Piece], Iterable[Item]], origin: Origin, piece: Piece) -> list[Arrival]:
    """What a piece of a source holds."""
    return list(arrived(read(piece), origin))


def arrived(items: Iterable[Item], origin: Origin) -> Iterator[Arrival]:
    """What an importer yields, each with where it was read."""
    for row, item in items:
        if isinstance(item, Refused):
            yield Arrival(row, item.reason)
            continue
        record, ways = item if isinstance(item, Changed) else (item, ())
        at = Origin(licence=origin.licence, sha256=origin.sha256, line=row) if origin.sha256 else origin
        asked = record.prompt if isinstance(record, Ranking) else record
        user = asked.user if isinstance(asked, Prompt | Demonstration) else None
        prompt = (
            record.prompt
            if isinstance(record, Ranking)
            else _prompt_of(record)
            if isinstance(record, Demonstration)
            else None
        )
        yield Arrival(row, None, user, ways, _line(record, at), _line(prompt, at) if prompt else None)


def _line(record: Any, origin: Origin) -> Line:
    asked = _hash_of(record) if isinstance(record, Prompt) else None
    return Line(type(record), record.id, line_of(record.model_copy(update={"origin": origin})), asked)


def hash_of(*content: str) -> bytes:
    """A hash of what was said."""
    return blake2b(SEPARATOR.join(content).encode(), digest_size=8).digest()


def _hash_of(prompt: Prompt) -> bytes:
    return hash_of(
        prompt.id, prompt.user, *(f"{message.role}:{message.content}" for message in prompt.messages)
    )


def _prompt_of(demonstration: Demonstration) -> Prompt:
    asked = demonstration.messages[:-1]
    name = identify("prompt", demonstration.user, *(message.content for message in asked))
    about = demonstration.model_dump(include={"user", "category", "time", "source"})
    return Prompt(id=name, messages=asked, **about)
