"""The file of an index: whether it is one, what it says of itself, and whether it is whole."""

import sqlite3
from contextlib import closing
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.retrieval.words import searchable

MARK = 0x616C6978  # SQLite's application id of an index
MARK_AT = 68  # its place in a database's header
COUNTS = ("documents", "passages")


class IndexProblem(AlignloopError):
    """An index cannot be built or used; the message names the file, the fault and the remedy."""


def is_ours(path: Path) -> bool:
    """Whether a file is an index, of any version and perhaps damaged."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError:
        return False
    if header[MARK_AT : MARK_AT + 4] == MARK.to_bytes(4, "big"):
        return True
    if not header.startswith(b"SQLite format 3\0"):
        return False
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        return meta_of(database) is not None


def meta_of(database: sqlite3.Connection) -> dict[str, str] | None:
    """What an index says of itself: version, content, and its counts; None where it does not."""
    try:
        meta = {str(key): str(value) for key, value in database.execute("SELECT key, value FROM meta")}
    except sqlite3.DatabaseError:
        return None
    if not {"version", "content", *COUNTS} <= meta.keys():
        return None
    return meta if all(meta[key].isascii() and meta[key].isdigit() for key in COUNTS) else None


def is_sound(database: sqlite3.Connection) -> bool:
    """Whether an index is whole: its pages, its counts, and the words of its passages."""
    try:
        if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
            return False
        meta = meta_of(database) or {}
        for key in COUNTS:
            if database.execute(f"SELECT count(*) FROM {key}").fetchone() != (int(meta[key]),):
                return False
        # FTS5 compares its index with its texts only where it may write
        with closing(sqlite3.connect(":memory:")) as copy:
            database.backup(copy)
            copy.execute("INSERT INTO words (words) VALUES ('integrity-check')")
            copy.create_function("searchable", 1, searchable, deterministic=True)
            different = (
                "SELECT count(*) FROM passages p LEFT JOIN documents d ON d.id = p.document "
                "LEFT JOIN words w ON w.rowid = p.number "
                "WHERE w.text IS NOT searchable(p.text) OR w.title IS NOT searchable(d.title)"
            )
            return copy.execute(different).fetchone() == (0,)
    except sqlite3.DatabaseError:
        return False
