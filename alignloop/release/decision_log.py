"""The log of decisions about models: one JSON object a line, each sealed with a hash over itself and the seal before it.

Changing, removing or moving an entry breaks the chain from there on. A log that is cut off at its end, or written anew as a whole, differs
from the last seal that the registry keeps (release/champion.py). The file is in git.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from alignloop.errors import AlignloopError
from alignloop.files import replacing

LOG = Path("releases", "audit.jsonl")
STATE = Path("releases", "champion.json")  # what the log comes to: release/champion.py
START = "0" * 64
Action = Literal["approve", "reject", "rollback", "restore"]


class AuditError(AlignloopError):
    """The log is not what was written; the message names the first broken entry."""


class Entry(BaseModel):
    """One decision. `champion` and `previous` are the versions, `NAME/N HASH`, that the aliases mean from then on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    time: str
    who: str
    action: Action
    model: str
    reason: str
    gates: Literal["passed", "failed", "unknown"]
    champion: str | None
    previous: str | None
    before: str  # the seal of the entry before
    seal: str

    @property
    def words(self) -> str:
        """In one line."""
        return f"#{self.number} {self.time} {self.who}: {self.action} {self.model.partition(' ')[0]} (gates {self.gates}): {self.reason}"


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Keep other processes from deciding meanwhile."""
    place = root / ".cache" / "releases.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def entries(root: Path) -> list[Entry]:
    """The whole log, checked. Raises AuditError naming the first entry that was changed, removed, moved or cut in half."""
    file, found, seal = root / LOG, list[Entry](), START
    for line in (
        file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        if file.exists() and file.stat().st_size
        else ()
    ):
        number = len(found) + 1
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError as error:
            reason = error.errors()[0]
            raise _broken(
                number, f"it is no entry ({'.'.join(map(str, reason['loc'])) or 'line'}: {reason['msg']})"
            ) from None
        if entry.number != number:
            raise _broken(
                number, f"it says that it is entry {entry.number}: entries were removed, added or moved"
            )
        if entry.before != seal:
            raise _broken(number, "it does not follow the entry before it: one of the two was exchanged")
        if entry.seal != sealed(entry):
            raise _broken(number, "its seal does not fit its words: it was changed after it was written")
        seal = entry.seal
        found.append(entry)
    return found


def append(
    root: Path,
    who: str,
    action: Action,
    model: str,
    reason: str,
    gates: str,
    champion: str | None,
    previous: str | None,
) -> Entry:
    """Add an entry to a log that is whole. Call it within `writing`."""
    known = entries(root)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    fields = {
        "number": len(known) + 1,
        "time": now,
        "who": who,
        "action": action,
        "model": model,
        "reason": reason,
        "gates": gates,
    }
    fields |= {
        "champion": champion,
        "previous": previous,
        "before": known[-1].seal if known else START,
        "seal": "",
    }
    draft = Entry.model_validate(fields)
    entry = draft.model_copy(update={"seal": sealed(draft)})
    with replacing(root / LOG) as part:
        part.write_text("".join(f"{each.model_dump_json()}\n" for each in (*known, entry)), encoding="utf-8")
    return entry


def sealed(entry: Entry) -> str:
    """The SHA-256 of an entry's fields, the seal before it among them."""
    fields = entry.model_dump(exclude={"seal"})
    return sha256(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _broken(number: int, what: str) -> AuditError:
    return AuditError(
        f"{LOG}, entry {number}: {what}; compare with `git log -p {LOG}`, and bring back the file that was right"
    )
