"""The log of decisions about models: one JSON object a line, in a hash chain.

Each entry is sealed with a hash over itself and the seal of the entry before it: to change, remove or move an
entry breaks the chain from there on. A log that was cut off at its end, or rewritten as a whole, differs from
the last seal in the registry (release/champion.py). The file is in git.
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
STATE = Path("releases", "champion.json")  # the result of the log: see release/champion.py
START = "0" * 64
Action = Literal["approve", "reject", "rollback", "restore"]


class DecisionLogError(AlignloopError):
    """The log was changed by hand; the message names the first broken entry."""


class Entry(BaseModel):
    """One decision. `champion` and `previous` are the versions (`NAME/N HASH`) of the aliases after it."""

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

    def decides(self, hash: str) -> bool:
        """Whether it approves or rejects the model with these bytes."""
        return self.action in ("approve", "reject") and self.model.partition(" ")[2] == hash

    @property
    def summary(self) -> str:
        """The decision in one line."""
        decision = f"{self.action} {self.model.partition(' ')[0]} (gates {self.gates})"
        return f"#{self.number} {self.time} {self.who}: {decision}: {self.reason}"


@contextmanager
def lock_log(root: Path) -> Iterator[None]:
    """Keep other processes from deciding while the block runs."""
    file = root / ".cache" / "releases.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def read_entries(root: Path) -> list[Entry]:
    """Return the whole log, verified.

    Raises DecisionLogError, which names the first entry that was changed, removed, moved or cut in half.
    """
    file = root / LOG
    entries: list[Entry] = []
    seal = START
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    for line in text.removesuffix("\n").split("\n") if text else ():
        number = len(entries) + 1
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "line"
            raise _broken(number, f"it is no entry ({place}: {first['msg']})") from None
        if entry.number != number:
            raise _broken(number, f"it has the number {entry.number}: entries were removed, added or moved")
        if entry.before != seal:
            raise _broken(number, "it does not follow the entry before it: one of the two was exchanged")
        if entry.seal != seal_of(entry):
            raise _broken(number, "its seal does not fit its content: it was changed after it was written")
        seal = entry.seal
        entries.append(entry)
    return entries


def append_entry(
    root: Path,
    *,
    who: str,
    action: Action,
    model: str,
    reason: str,
    gates: str,
    champion: str | None,
    previous: str | None,
) -> Entry:
    """Append an entry to a log that is intact. Call it within `lock_log`."""
    entries = read_entries(root)
    fields = {
        "number": len(entries) + 1,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": who,
        "action": action,
        "model": model,
        "reason": reason,
        "gates": gates,
        "champion": champion,
        "previous": previous,
        "before": entries[-1].seal if entries else START,
        "seal": "",
    }
    draft = Entry.model_validate(fields)
    entry = draft.model_copy(update={"seal": seal_of(draft)})
    lines = (f"{each.model_dump_json()}\n" for each in (*entries, entry))
    with replacing(root / LOG) as part:
        part.write_text("".join(lines), encoding="utf-8")
    return entry


def seal_of(entry: Entry) -> str:
    """Return the SHA-256 of an entry's fields, which include the seal of the entry before."""
    fields = entry.model_dump(exclude={"seal"})
    return sha256(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _broken(number: int, fault: str) -> DecisionLogError:
    return DecisionLogError(
        f"{LOG}, entry {number}: {fault}; compare with `git log -p {LOG}`, "
        "and bring back the file that was right"
    )
