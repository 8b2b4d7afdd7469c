"""Google's Taskmaster-4: dialogs of a customer and an assistant, written by crowd workers.

https://github.com/google-research-datasets/Taskmaster

A dialog is a demonstration, or a prompt if the customer speaks last, and identifies its user. API calls
beside the assistant's turns are dropped.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    convert_rows,
    has_keys,
    with_changes,
)
from alignloop.data.formats.record_builders import demonstration, prompt
from alignloop.data.formats.written_values import WrittenId, WrittenText

ASIDE = ("scenario", "instructions", "instruction_id", "segments")  # what the writers were told, and marks


class Utterance(BaseModel):
    speaker: str
    text: WrittenText
    annotations: list[Any] | None = None


class Dialog(BaseModel):
    conversation_id: WrittenId = ""
    vertical: str | None = ""
    utterances: list[Utterance]


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Dialog, lambda dialog: [_record(dialog, source)], ASIDE)


def _record(dialog: Dialog, source: str) -> Imported:
    turns = [(utterance.speaker, utterance.text) for utterance in dialog.utterances]
    make = prompt if turns and turns[-1][0] == "user" else demonstration
    record = make(
        "taskmaster", turns, source, user=dialog.conversation_id, category=(dialog.vertical or "").casefold()
    )
    calls = any(utterance.annotations for utterance in dialog.utterances)
    return with_changes(record, "calls of an API left out" if calls else None)


TASKMASTER = Format(
    "{conversation_id, utterances: [{speaker, text}]}",
    lambda row: has_keys(row, "conversation_id", "utterances"),
    _read,
)
