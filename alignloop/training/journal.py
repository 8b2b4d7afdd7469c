"""A file that grows line by line during a stage; a resumed stage cuts it to its checkpoint's size."""

import os
from collections.abc import Iterator
from pathlib import Path


class Journal:
    """Lines of text, without line ends. Of an existing file the first `keep` bytes are kept."""

    def __init__(self, path: Path, keep: int = 0) -> None:
        self.path = path
        path.touch()
        os.truncate(path, keep)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size

    def __iter__(self) -> Iterator[str]:
        with self.path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                yield line[:-1]

    def add(self, *lines: str) -> None:
        """Add lines."""
        with self.path.open("ab") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())
