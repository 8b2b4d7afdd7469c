"""An index of passages by their words: SQLite's FTS5, ranked by BM25. One file, made whole or not at all."""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.files import replacing
from alignloop.retrieval.documents import Document, content_of

DEFAULT = Path("data/search.sqlite")
SEARCH = Path("data/search")  # of the indexes that the pipeline makes
VERSION = "1"  # of the tables and of how passages are cut
WORDS = 120  # of a passage
MOST_TERMS = 32  # of a query
SETTINGS = f"{VERSION} {WORDS}"
BUILD = "build it: `python -m alignloop index FOLDER --licence SPDX --out {path}`"
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, licence TEXT NOT NULL, user TEXT, text TEXT NOT NULL
);
CREATE TABLE passages (number INTEGER PRIMARY KEY, document TEXT NOT NULL, text TEXT NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(title, text, tokenize = 'unicode61 remove_diacritics 2');
"""


class IndexProblem(AlignloopError):
    """An index cannot be built or used; the message names the file, the fault and the remedy."""


@dataclass(frozen=True)
class Passage:
    """A passage as it is found and cited: by its number in the index."""

    number: int
    document: str
    title: str
    licence: str
    text: str


def passages_of(text: str, words: int = WORDS) -> Iterator[str]:
    """A text in pieces of at most `words` words, each on one line, between paragraphs where possible."""
    piece: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        found = paragraph.split()
        if piece and len(piece) + len(found) > words:
            yield " ".join(piece)
            piece = []
        while len(found) > words:
            yield " ".join(found[:words])
            found = found[words:]
        piece += found
    if piece:
        yield " ".join(piece)


def build(path: Path, documents: Iterable[Document]) -> str:
    """Write the index of these documents; returns the hash of its content. Nothing is half-written.

    An index of the same content is left as it is. Raises IndexProblem where two documents have one id, or
    there is none.
    """
    known: dict[str, Document] = {}
    for each in documents:
        if each.id in known:
            raise IndexProblem(f"{path}: two documents are called {each.id!r}; rename one")
        known[each.id] = each
    if not known:
        raise IndexProblem(f"{path}: there is no document to index; put some into the folder")
    ordered = [known[id] for id in sorted(known)]
    content = content_of(ordered, SETTINGS)
    if path.is_file() and _content_if_usable(path) == content:
        return content
    with replacing(path) as part:
        _write(part, ordered, content)
    return content


def _write(path: Path, documents: list[Document], content: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + TABLES)
        database.execute("BEGIN")
        number = 0
        for each in documents:
            text = _clean(each.text)
            row = (each.id, _clean(each.title), each.licence, each.user, text)
            database.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", row)
            for passage in passages_of(text):
                number += 1
                database.execute("INSERT INTO passages VALUES (?, ?, ?)", (number, each.id, passage))
                database.execute(
                    "INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", (number, row[1], passage)
                )
        meta = {"version": VERSION, "content": content, "documents": len(documents), "passages": number}
        database.executemany("INSERT INTO meta VALUES (?, ?)", [(key, str(meta[key])) for key in meta])
        database.execute("COMMIT")
        database.execute("INSERT INTO words (words) VALUES ('optimize')")
        database.execute("VACUUM")


def _clean(text: str) -> str:
    return text.encode(errors="replace").decode()


def _content_if_usable(path: Path) -> str | None:
    try:
        with opened(path) as index:
            return index.content
    except IndexProblem:
        return None


class Index:
    """An index that is read. Its content's hash says whether it is the one that is meant."""

    def __init__(self, database: sqlite3.Connection, meta: dict[str, str]) -> None:
        self._database = database
        self.content = meta["content"]
        self.documents, self.passages = int(meta["documents"]), int(meta["passages"])

    def search(self, query: str, most: int) -> list[Passage]:
        """The passages with the query's words, the best first; empty where it has no words, or none is found.

        A passage needs one of the words; the rarer ones count more (BM25), those of a title twice.
        """
        terms = list(dict.fromkeys(re.findall(r"\w+", query.lower())))[:MOST_TERMS]
        if not terms:
            return []
        match = " OR ".join(f'"{term}"' for term in terms)
        rows = self._database.execute(
            "SELECT p.number, d.id, d.title, d.licence, p.text FROM words "
            "JOIN passages p ON p.number = words.rowid JOIN documents d ON d.id = p.document "
            "WHERE words MATCH ? ORDER BY bm25(words, 2.0, 1.0), p.number LIMIT ?",
            (match, most),
        )
        return [Passage(*row) for row in rows]

    def count_documents(self, users: set[str]) -> int:
        """How many documents are these users'."""
        marks = ", ".join("?" * len(users))
        rows = self._database.execute(f"SELECT count(*) FROM documents WHERE user IN ({marks})", [*users])
        return int(rows.fetchone()[0])


@contextmanager
def opened(path: Path, content: str | None = None) -> Iterator[Index]:
    """An index to search in; it must be of this version, and of this `content` where one is given.

    Raises IndexProblem.
    """
    remedy = BUILD.format(path=path)
    if not path.is_file():
        raise IndexProblem(f"{path}: there is no such index; {remedy}")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            try:
                meta = dict(database.execute("SELECT key, value FROM meta"))
            except sqlite3.DatabaseError:
                raise IndexProblem(f"{path}: is no index of passages; {remedy}") from None
            if meta.get("version") != VERSION:
                raise IndexProblem(
                    f"{path}: is of version {meta.get('version')}, and {VERSION} is read here; {remedy}"
                )
            if content is not None and meta["content"] != content:
                raise IndexProblem(
                    f"{path}: its content is {meta['content'][:12]}, and {content[:12]} is expected; state "
                    "the present one in tools.functions (settings: content), or restore the other file"
                )
            yield Index(database, meta)
    except sqlite3.DatabaseError as error:
        raise IndexProblem(f"{path}: is broken ({error}); {remedy}") from None


def count_documents(path: Path, users: set[str]) -> int:
    """How many documents of these users an index has; 0 where there is no index. Raises IndexProblem."""
    if not path.is_file():
        return 0
    with opened(path) as index:
        return index.count_documents(users)


def remove_user(path: Path, users: set[str]) -> int:
    """Take these users' documents out of an index, as if they had never been in it; how many there were."""
    if not count_documents(path, users):
        return 0
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT id, title, text, licence, user FROM documents").fetchall()
    documents = [Document(*row) for row in rows]
    kept = [each for each in documents if each.user not in users]
    if kept:
        build(path, kept)
    else:
        path.unlink()
    return len(documents) - len(kept)
