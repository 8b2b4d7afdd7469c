"""The list of forgotten users: `data/forgotten.txt` holds salted hashes of the user ids that `ingest` skips.

The file is kept in git. The hash hides the ids from readers of the repository, and the salt ties a line
to this project. This is not anonymity: whoever has the file and an id can test whether it is listed, as
`ingest` does.
"""

import re
import secrets
from hashlib import blake2b
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.files import replacing

SALT = re.compile(r"salt ([0-9a-f]{32})")
HASH = re.compile(r"[0-9a-f]{32}")


class ForgottenError(AlignloopError):
    """The list of forgotten users cannot be read; the message says why. Nothing is ingested without it."""


class ForgottenUsers:
    """The users whose hashes a file lists; test one with `user in forgotten`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._salt = b""
        self._hashes = set[str]()
        try:
            self._lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ForgottenError(
                f"{file}: cannot be read ({error}); restore it with `git checkout {file}`"
            ) from None
        for number, line in enumerate(self._lines, 1):
            if salt := SALT.fullmatch(line):
                self._salt = bytes.fromhex(salt[1])
            elif HASH.fullmatch(line) and self._salt:
                self._hashes.add(line)
            elif line and not line.startswith("#"):
                raise ForgottenError(
                    f"{file}:{number}: must be a comment, or a hash below the salt; "
                    f"restore it with `git checkout {file}`"
                )

    def __contains__(self, user: str | None) -> bool:
        return bool(self._hashes) and user is not None and self.user_hash(user) in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    def user_hash(self, user: str) -> str:
        """The user's salted hash, as the file lists it."""
        return blake2b(user.encode(), key=self._salt, digest_size=16).hexdigest()

    def add(self, user: str) -> str:
        """Add the user's hash to the file unless it is listed already, and return the hash."""
        if not self._salt:
            self._salt = secrets.token_bytes(16)
            self._lines.append(f"salt {self._salt.hex()}")
        user_hash = self.user_hash(user)
        if user_hash not in self._hashes:
            self._hashes.add(user_hash)
            self._lines.append(user_hash)
            with replacing(self._file) as part:
                part.write_text("".join(f"{line}\n" for line in self._lines), encoding="utf-8")
        return user_hash
