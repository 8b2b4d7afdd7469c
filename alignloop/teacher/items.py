"""What the teacher is asked about: prompts, rankings or seed tasks of any format that `ingest` reads.

Personal data is redacted before anything leaves this machine, and forgotten users are left out.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from alignloop.data.content_ids import normalised_text
from alignloop.data.forgotten import ForgottenUsers
from alignloop.data.formats import FORMATS
from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.sniffing import sniff
from alignloop.data.pii.redaction import redact
from alignloop.records import Demonstration, Message, Prompt, Ranking
from alignloop.teacher.plan import DistillError

Turns = tuple[tuple[str, str], ...]  # (role, content) of each turn


class Item(NamedTuple):
    """A prompt as the teacher sees it, and a response to it where the file has one.

    The response is the last-ranked one of a ranking, and what was written in a demonstration.
    """

    turns: Turns
    response: str | None
    user: str
    category: str
    time: str
    source: str


class Items(NamedTuple):
    """The items of a file, once each; records that were left out, by reason; and the licences of the rest."""

    items: list[Item]
    left_out: Counter[str]
    redacted: int
    licences: Counter[str]


def read_items(file: Path, forgotten: ForgottenUsers, *, rankings: bool, limit: int | None) -> Items:
    """Read prompts, of any records; with `rankings` of rankings alone. Raises DistillError, DataError."""
    if not file.is_file():
        fault = "is not a file" if file.exists() else "does not exist"
        raise DistillError(f"{file}: {fault}; name a file of prompts in the plan's `prompts`")
    left_out, licences = Counter[str](), Counter[str]()
    items: dict[tuple[str, str], Item] = {}
    redacted = 0
    for item, count, licence in _read(file, forgotten, rankings, left_out):
        key = (normalised_text(item.turns), item.response or "")
        if key in items:
            left_out["repeated"] += 1
            continue
        items[key] = item
        redacted += count
        licences.update([licence] if licence else [])
        if limit is not None and len(items) >= limit:
            break
    if not items:
        wanted = "rankings" if rankings else "prompts"
        seen = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items()) or "no record"
        raise DistillError(f"{file}: holds no {wanted} to ask about ({seen}); name another file in `prompts`")
    return Items(list(items.values()), left_out, redacted, licences)


def _read(
    file: Path, forgotten: ForgottenUsers, rankings: bool, left_out: Counter[str]
) -> Iterator[tuple[Item, int, str | None]]:
    """Each item with the number of redactions in it and its licence."""
    for _, imported in FORMATS[sniff(file)].read(file, file.name):
        record = imported.record if isinstance(imported, Changed) else imported
        if isinstance(record, Refused):
            left_out[f"not readable: {record.reason}"] += 1
            continue
        response: str | None = None
        if isinstance(record, Ranking):
            prompt: Prompt | Demonstration = record.prompt
            turns = prompt.messages
            response = record.responses[max(range(len(record.ranks)), key=record.ranks.__getitem__)]
            if rankings and (max(record.ranks) == 1 or not response.strip()):
                left_out["without a rejected response"] += 1
                continue
        elif rankings or not isinstance(record, Prompt | Demonstration):
            left_out["of another kind"] += 1
            continue
        elif isinstance(record, Demonstration):
            prompt, turns = record, record.messages[:-1]
            response = record.messages[-1].content
        else:
            prompt, turns = record, record.messages
        if prompt.user in forgotten:
            left_out["of forgotten users"] += 1
            continue
        yield _item(prompt, turns, response)


def _item(
    prompt: Prompt | Demonstration, turns: tuple[Message, ...], response: str | None
) -> tuple[Item, int, str | None]:
    texts = [redact(turn.content) for turn in turns]
    plain, counts = redact(response or "")
    item = Item(
        tuple((turn.role, text) for turn, (text, _) in zip(turns, texts, strict=True)),
        plain if plain.strip() else None,
        user=prompt.user,
        category=prompt.category,
        time=prompt.time,
        source=prompt.source,
    )
    redacted = counts.total() + sum(count.total() for _, count in texts)
    return item, redacted, prompt.origin.licence if prompt.origin else None
