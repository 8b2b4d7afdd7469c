"""What people said in chat as a source of the next round: exported up to a moment that a resumed run keeps.

PLACE holds the moment until the loop has ended. What was said after it waits for the next run, so that a run
that was interrupted resumes with the same data, less what anybody has withdrawn meanwhile.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from alignloop.commands import chat_export
from alignloop.commands.chat_export import Export
from alignloop.errors import AlignloopError
from alignloop.files import write_json
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.params import Params

PLACE = Path(".cache", "feedback.json")
FOLDER = Path("data", "sources", "chat")
PATTERN = "chat/*"


class NothingToLearn(AlignloopError):
    """There is no feedback that may be used, or none that is new."""


@dataclass(frozen=True)
class _State:
    """The moment up to which feedback counts (seconds since 1970), its round, and a hash of its records.

    `ended` says that the loop has ended that learned from it.
    """

    until: float
    round: str
    records: str
    ended: bool = False


@dataclass(frozen=True)
class TakenFeedback:
    """Keys of params.yaml that make the export a source and add the round, and what was done in lines."""

    overrides: dict[str, Any]
    lines: list[str]


def take_feedback(root: Path, params: Params, following: Mapping[str, Any]) -> TakenFeedback:
    """Export feedback into FOLDER for the round that `following` adds, or for the last one if it is empty.

    Raises NothingToLearn, with nothing changed, where nothing may be used or nothing is new.
    """
    state = _read(root)
    open = state if state and not state.ended else None
    until = open.until if open else time.time()
    export = _collect(root, params, until)
    report = chat_export.report(export, FOLDER)
    if not export.found.records:
        raise NothingToLearn("\n".join(["feedback: no round without any:", *report]))
    records = _hash(export)
    if state and state.ended and state.records == records:
        raise NothingToLearn(
            "feedback: nothing was said in chat, and nothing withdrawn, since the last round that learned "
            'from it; `make run ARGS="--new-round"` makes a round without'
        )
    if open and open.round in params.rounds:
        following = {}
    round = open.round if open else next(iter(following), list(params.rounds)[-1]).removeprefix("rounds.")
    chat_export.write(export, root / FOLDER)
    write_json(root / PLACE, asdict(_State(until, round, records)))
    changes: dict[str, Any] = {**following, "ingest.licences": _licences(params, export)}
    if not params.ingest.reads_files:
        changes["ingest.source"] = "both"
    moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(until))
    how = "resuming with" if open else "taking"
    return TakenFeedback(changes, [f"feedback: {how} what was said in chat until {moment}", *report])


def end_feedback(root: Path) -> None:
    """Note that the loop has ended: the next run takes what was said since."""
    if state := _read(root):
        write_json(root / PLACE, asdict(replace(state, ended=True)))


def _read(root: Path) -> _State | None:
    with suppress(OSError, ValueError, TypeError):  # none, or not ours: everything is new then
        return _State(**json.loads((root / PLACE).read_text(encoding="utf-8")))
    return None


def _collect(root: Path, params: Params, until: float) -> Export:
    database = LabelingDatabase(database_url(root))
    try:
        return chat_export.collect(database, params, until)
    finally:
        database.close()


def _hash(export: Export) -> str:
    text = json.dumps(export.lines(), sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _licences(params: Params, export: Export) -> dict[str, str]:
    """The licences of sources with that of the export, before patterns that match it too."""
    others = {name: licence for name, licence in params.ingest.licences.items() if name != PATTERN}
    return {PATTERN: export.statement.licence, **others}
