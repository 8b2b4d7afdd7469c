"""What `ingest` gets for each row of a source: a refusal, or the record as a line to write, with its origin.

Workers parse the rows; the lines that they return are written as they are.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

from pydantic import ValidationError

from alignloop.data.content_ids import SEPARATOR, content_id
from alignloop.data.formats.importer import Changed, ImportedRow, Refused
from alignloop.data.formats.refused_rows import Withdrawn
from alignloop.data.record_files import Piece, line_of
from alignloop.records import Demonstration, Document, Origin, Prompt, Record, prompt_of

NUL = "NUL characters taken out"
FINAL_NUMBER = re.compile(r"\n#### ?(\S.*)\Z")  # as GSM8K's answers end: what a right response ends with


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
    withdrawn: bool = False  # refused because the source itself has withdrawn it


def parse_piece(
    read: Callable[[Piece], Iterable[ImportedRow]], origin: Origin, domain: str | None, piece: Piece
) -> list[ParsedRow]:
    """Parse a piece of a source with the importer `read`."""
    return list(parse_rows(read(piece), origin, domain))


def parse_rows(rows: Iterable[ImportedRow], origin: Origin, domain: str | None = None) -> Iterator[ParsedRow]:
    """Turn what an importer yields into lines; each record's origin gets the line that it was read from.

    Documents that state no domain get the source's.
    """
    for row, imported in rows:
        if isinstance(imported, Refused):
            yield ParsedRow(row, imported.reason, withdrawn=isinstance(imported, Withdrawn))
            continue
        record, changes = imported if isinstance(imported, Changed) else (imported, ())
        if isinstance(record, Demonstration) and record.teacher and record.teacher.terms != origin.licence:
            yield ParsedRow(row, "teacher.terms are not the licence of its source: keep one licence per file")
            continue
        at = Origin(licence=origin.licence, sha256=origin.sha256, line=row) if origin.sha256 else origin
        if domain and isinstance(record, Document) and record.domain is None:
            record = record.model_copy(update={"domain": domain})
        record, cleaned = _without_nul(record)
        if record is None:
            yield ParsedRow(row, "nothing but NUL characters in a text")
            continue
        changes = (*changes, *cleaned)
        conversation = prompt_of(record)
        user = conversation.user if isinstance(conversation, Prompt | Demonstration) else None
        prompt = _prompt_in(record)
        line, prompt_line = _line(record, at), _line(prompt, at) if prompt else None
        yield ParsedRow(row, None, user, changes, record=line, prompt=prompt_line)


def _without_nul(record: Record) -> tuple[Record | None, tuple[str, ...]]:
    """The record without NUL characters, which databases do not store; None if nothing would be left."""
    if "\\u0000" not in line_of(record):
        return record, ()
    plain = json.loads(line_of(record), object_hook=_plain)
    try:
        cleaned = type(record).model_validate_json(json.dumps(plain), strict=True)
    except ValidationError:
        return None, ()
    return cleaned, () if cleaned == record else (NUL,)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """An object of JSON without NUL characters in its texts; objects inside it are done before."""
    return {key: _plain_value(value) for key, value in fields.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_value(part) for part in value]
    return value.replace("\0", "") if isinstance(value, str) else value


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
    """The prompt of a judgement, or of a demonstration; None for other records."""
    asked = prompt_of(record)
    if asked is not record and isinstance(asked, Prompt):
        return asked
    if not isinstance(record, Demonstration):
        return None
    messages = record.messages[:-1]
    id = content_id("prompt", record.user, *(message.content for message in messages))
    about = record.model_dump(include={"user", "category", "time", "source"})
    answer = FINAL_NUMBER.search(record.messages[-1].content)
    return Prompt(id=id, messages=messages, check={"answer": answer[1]} if answer else None, **about)
