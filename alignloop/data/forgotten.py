"""Who is forgotten: `data/forgotten.txt`, in git, holds a salted hash of each user's id, and `ingest` leaves their records out for good.

The hash keeps ids from readers of the repository and ties a line to this project alone. It is no anonymity: who has the file and an id can
test whether it is there, as `ingest` has to.
"""

import re
import secrets
from hashlib import blake2b
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.files import replacing

SALT = re.compile(r"salt ([0-9a-f]{32})")
MARK = re.compile(r"[0-9a-f]{32}")


class ForgottenError(AlignloopError):
    """The file of the forgotten cannot be used; the message says why: nothing is ingested on a guess."""


class Forgotten:
    """The users that a file names by their hashes; `user in forgotten` asks."""

    def __init__(self, file: Path) -> None:
        self._file, self._salt, self._marks = file, b"", set[str]()
        try:
            self._lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ForgottenError(
                f"{file}: cannot be read ({error}); restore it with `git checkout {file}`"
            ) from None
        for number, line in enumerate(self._lines, 1):
            if salt := SALT.fullmatch(line):
                self._salt = bytes.fromhex(salt[1])
            elif MARK.fullmatch(line) and self._salt:
                self._marks.add(line)
            elif line and not line.startswith("#"):
                raise ForgottenError(
                    f"{file}:{number}: is neither a comment nor a mark below a salt; restore it with `git checkout {file}`"
                )

    def __contains__(self, user: str | None) -> bool:
        return bool(self._marks) and user is not None and self.mark(user) in self._marks

    def __len__(self) -> int:
        return len(self._marks)

    def mark(self, user: str) -> str:
        """The hash that stands for a user here."""
        return blake2b(user.encode(), key=self._salt, digest_size=16).hexdigest()

    def add(self, user: str) -> str:
        """Write the user's mark into the file, once, and return it."""
        if not self._salt:
            self._salt = secrets.token_bytes(16)
            self._lines.append(f"salt {self._salt.hex()}")
        mark = self.mark(user)
        if mark not in self._marks:
            self._marks.add(mark)
            self._lines.append(mark)
            with replacing(self._file) as part:
                part.write_text("".join(f"{line}\n" for line in self._lines), encoding="utf-8")
        return mark
