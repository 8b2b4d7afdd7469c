"""The journal of a distillation: every request that was sent, and every reply, one JSON line each.

It is the cache, and the account of what was spent. A line is written before a request is sent, and one when
its reply has come, so that after `kill -9` nothing is asked twice but what was under way, and that counts as
spent. A prompt is there as a hash only, and a reply without personal data; it has the user of its prompt,
whom `data forget` removes.
"""

import errno
import json
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from fcntl import LOCK_EX, LOCK_NB, flock
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from alignloop.files import replacing
from alignloop.teacher.plan import DistillError

FOLDER = Path(".cache", "distill")


def place_of(root: Path, out: str) -> Path:
    """The journal of a plan by its `out`, of which each has its own. One of before is renamed."""
    normal = Path(out).as_posix()
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", normal)
    before = root / FOLDER / readable
    place = root / FOLDER / f"{sha256(normal.encode()).hexdigest()[:8]}-{readable[-100:]}"
    if before.is_file() and not place.exists():
        before.rename(place)
    return place


class Tokens(NamedTuple):
    """Tokens of prompts and of replies."""

    prompt: int = 0
    reply: int = 0

    def plus(self, other: "Tokens") -> "Tokens":
        return Tokens(self.prompt + other.prompt, self.reply + other.reply)

    def minus(self, other: "Tokens") -> "Tokens":
        return Tokens(self.prompt - other.prompt, self.reply - other.reply)

    @property
    def total(self) -> int:
        return self.prompt + self.reply


class Journal:
    """The replies so far by the key of their request; `requests` and `tokens` are what was spent.

    A request counts its upper bound of tokens until its reply says how many they were.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests, self.tokens = 0, Tokens()
        self.models: dict[str, str] = {}  # the first model that the server stated, by the name asked for
        self._replies: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        try:
            flock(self._file, LOCK_EX | LOCK_NB)
        except OSError:
            self._file.close()
            raise DistillError(
                f"{path}: another `distill` with this `out` is running; let it end, or end it"
            ) from None
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)  # a last line that a killed process did not finish
        self._size = whole
        for line in _lines(path, content[:whole]):
            self._take(line)

    def close(self) -> None:
        self._file.close()

    def reply(self, key: str) -> Mapping[str, Any] | None:
        """The reply to a request, or None."""
        return self._replies.get(key)

    def sent(self, key: str, bound: Tokens, may: Callable[[int, Tokens], None]) -> None:
        """Note that a request is about to be sent; `may` gets what is spent and raises if it is too much."""
        with self._lock:
            may(self.requests, self.tokens)
            self._write({"sent": key, "tokens": bound})

    def declined(self, key: str, bound: Tokens) -> None:
        """Note that the server generated nothing for a request."""
        with self._lock:
            self._write({"declined": key, "tokens": Tokens().minus(bound)})

    def spent(self, key: str, change: Tokens) -> None:
        """Note what a request took, whose reply cannot be used."""
        with self._lock:
            self._write({"unusable": key, "tokens": change})

    def add(self, key: str, change: Tokens, reply: Mapping[str, Any]) -> None:
        """Note the reply to a request, and by how many tokens it differs from its upper bound."""
        with self._lock:
            self._write({"reply": key, "tokens": change, **reply})

    def _write(self, line: dict[str, Any]) -> None:
        content = json.dumps(line).encode() + b"\n"
        try:
            if self._file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            self._file.truncate(self._size)  # no half a line, after which another thread would write
            raise
        self._size += len(content)
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        self.tokens = self.tokens.plus(Tokens(*line["tokens"]))
        self.requests += "sent" in line
        if "reply" in line:
            self._replies[line["reply"]] = line
            if line["model"]:
                self.models.setdefault(line["name"], line["model"])


def erase_user(root: Path, users: Collection[str]) -> int:
    """Take the replies to these users' prompts out of all journals; returns their number.

    What they cost stays counted.
    """
    erased = 0
    for path, lines in _journals(root):
        found = [_is_of(line, users) for line in lines]
        if any(found):
            kept = [
                {"erased": line["reply"], "tokens": line["tokens"]} if own else line
                for line, own in zip(lines, found, strict=True)
            ]
            with replacing(path) as part:
                part.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in kept))
        erased += sum(found)
    return erased


def texts_of(root: Path, users: Collection[str]) -> Iterator[str]:
    """The replies to requests that showed prompts of several users, these among them."""
    for _, lines in _journals(root):
        yield from (
            line["text"] for line in lines if isinstance(line.get("user"), list) and _is_of(line, users)
        )


def _is_of(line: Mapping[str, Any], users: Collection[str]) -> bool:
    """Whether a line is the reply to a prompt of one of these users."""
    found = line.get("user")
    return any(user in users for user in (found if isinstance(found, list) else [found]))


def _journals(root: Path) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    for path in sorted((root / FOLDER).glob("*.jsonl")):
        content = path.read_bytes()
        yield path, _lines(path, content[: content.rfind(b"\n") + 1])


def _lines(path: Path, content: bytes) -> list[dict[str, Any]]:
    lines = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            entry = json.loads(line)
            Tokens(*entry["tokens"])
            lines.append(entry)
        except (ValueError, KeyError, TypeError):
            raise DistillError(
                f"{path}:{number}: is no line of this journal; restore it, or remove the file to ask the "
                "teacher for everything again"
            ) from None
    return lines
