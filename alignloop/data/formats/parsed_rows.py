"""What `ingest` gets for each row of a source: a refusal, or the record as a line to write, with its origin.

Workers parse the rows; the lines that they return are written as they are.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

from alignloop.data.content_ids import SEPARATOR, content_id
from alignloop.data.formats.importer import Changed, ImportedRow, Refused
from alignloop.data.record_files import Piece, line_of
from alignloop.records import Demonstration, Origin, Prompt, Ranking, Record


class RecordLine(NamedTuple):
    """A record as the line that is written."""

    kind: type[Record]
    id: str
    text: str
    digest: bytes | None  # of a prompt's id, user and messages; None for other records


class ParsedRow(NamedTuple):
    """One result of a row: why it is refused, or its record, and the prompt in that record if there is one.

    A row that gives several records has several results.
    """

    row: int
    refused: str | None
    user: str | None = None  # None for a document
    changes: tuple[str, ...] = ()  # that the importer made
    record: RecordLine | None = None
    prompt: RecordLine | None = None


def parse_piece(
    read: Callable[[Piece], Iterable[ImportedRow]], origin: Origin, piece: Piece
) -> list[ParsedRow]:
    """Parse a piece of a source with the importer `read`."""
    return list(parse_rows(read(piece), origin))


def parse_rows(rows: Iterable[ImportedRow], origin: Origin) -> Iterator[ParsedRow]:
    """Turn what an importer yields into lines; each record's origin gets the line that it was read from."""
    for row, imported in rows:
        if isinstance(imported, Refused):
            yield ParsedRow(row, imported.reason)
            continue
        record, changes = imported if isinstance(imported, Changed) else (imported, ())
        at = Origin(licence=origin.licence, sha256=origin.sha256, line=row) if origin.sha256 else origin
        conversation = record.prompt if isinstance(record, Ranking) else record
        user = conversation.user if isinstance(conversation, Prompt | Demonstration) else None
        prompt = _prompt_in(record)
        line, prompt_line = _line(record, at), _line(prompt, at) if prompt else None
        yield ParsedRow(row, None, user, changes, record=line, prompt=prompt_line)


def content_digest(*content: str) -> bytes:
    """An 8-byte hash of the content."""
    return blake2b(SEPARATOR.join(content).encode(), digest_size=8).digest()


def _line(record: Any, origin: Origin) -> RecordLine:
    text = line_of(record.model_copy(update={"origin": origin}))
    return RecordLine(type(record), record.id, text, _digest(record) if isinstance(record, Prompt) else None)


def _digest(prompt: Prompt) -> bytes:
    messages = (f"{message.role}:{message.content}" for message in prompt.messages)
    return content_digest(prompt.id, prompt.user, *messages)


def _prompt_in(record: Record) -> Prompt | None:
    """The prompt of a ranking, or of a demonstration; None for other records."""
    if isinstance(record, Ranking):
        return record.prompt
    if not isinstance(record, Demonstration):
        return None
    messages = record.messages[:-1]
    id = content_id("prompt", record.user, *(message.content for message in messages))
    about = record.model_dump(include={"user", "category", "time", "source"})
    return Prompt(id=id, messages=messages, **about)
