"""Google's Taskmaster-4: dialogs of a customer and an assistant, written by crowd workers. https://github.com/google-research-datasets/Taskmaster

A dialog is a demonstration and its own user. The calls of an API that stand beside the assistant's turns are left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Found, Item, changed, each, has
from alignloop.data.formats.record_builders import demonstration, prompt


class Utterance(BaseModel):
    speaker: str
    text: str
    annotations: list[Any] = []


class Dialog(BaseModel):
    conversation_id: str
    vertical: str = ""
    utterances: list[Utterance]


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Dialog, lambda dialog: [_record(dialog, source)])


def _record(dialog: Dialog, source: str) -> Found:
    turns = [(utterance.speaker, utterance.text) for utterance in dialog.utterances]
    make = prompt if turns and turns[-1][0] == "user" else demonstration
    made = make("taskmaster", turns, source, user=dialog.conversation_id, category=dialog.vertical.casefold())
    return changed(
        made, "calls of an API left out" if any(each.annotations for each in dialog.utterances) else None
    )


TASKMASTER = Format(
    "{conversation_id, utterances: [{speaker, text}]}",
    lambda row: has(row, "conversation_id", "utterances"),
    _read,
)
