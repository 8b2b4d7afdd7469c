"""An index of passages by their words: SQLite's FTS5, ranked by BM25. One file, made whole or not at all.

It may have the passages' vectors beside the words (`vectors`); a search with one fuses both rankings.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from alignloop.files import replacing
from alignloop.retrieval import vectors
from alignloop.retrieval.documents import Document, content_of
from alignloop.retrieval.index_file import MARK, IndexProblem, is_ours, is_sound, meta_of
from alignloop.retrieval.words import CHARACTERS, WORDS, passages_of, plain, searchable, terms

DEFAULT = Path("data/search.sqlite")
FOLDER = Path("data/search")  # of the indexes that the pipeline makes
VERSION = "2"  # of the tables and of how passages are cut
SETTINGS = f"{VERSION} {WORDS} {CHARACTERS}"
BUILD = "build it: `python -m alignloop index FOLDER --licence SPDX --out {path}`"
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, licence TEXT NOT NULL, user TEXT, text TEXT NOT NULL
);
CREATE TABLE passages (number INTEGER PRIMARY KEY, document TEXT NOT NULL, text TEXT NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(
    title, text, tokenize = 'unicode61 remove_diacritics 2 categories ''L* M* N* Co'''
);
"""


@dataclass(frozen=True)
class Passage:
    """A passage as it is found and cited: by its number in the index."""

    number: int
    document: str
    title: str
    licence: str
    text: str


def check_replaceable(path: Path) -> None:
    """Raise IndexProblem where `path` is something other than an index; before its documents are read."""
    if (path.exists() or path.is_symlink()) and not is_ours(path):
        what = "a folder" if path.is_dir() else "another file"
        raise IndexProblem(f"{path}: is {what}, no index of passages; move it away, or name another place")


def build(path: Path, documents: Iterable[Document], embedding: vectors.Embedding | None = None) -> str:
    """Write the index of these documents; returns the hash of its content. Nothing is half-written.

    With an `embedding` passages have vectors too, and its own hash is part of that of the content.

    An index of the same content is left as it is, unless it is damaged. Raises IndexProblem where two
    documents have one id, there is none, or `path` is something else than an index.
    """
    check_replaceable(path)
    known: dict[str, Document] = {}
    for each in documents:
        if each.id in known:
            raise IndexProblem(f"{path}: two documents are called {each.id!r}; rename one")
        known[each.id] = replace(each, title=plain(each.title), text=plain(each.text))
    if not known:
        raise IndexProblem(f"{path}: there is no document to index; put some into the folder")
    ordered = [known[id] for id in sorted(known)]
    content = content_of(ordered, _settings(embedding.content if embedding else None))
    if _content_if_sound(path) == content:
        return content
    with replacing(path) as part:
        _write(part, ordered, content, embedding)
    return content


def _settings(embedding: str | None) -> str:
    """What an index's content depends on beside its documents."""
    return f"{SETTINGS} {embedding}" if embedding else SETTINGS


def _write(path: Path, documents: list[Document], content: str, embedding: vectors.Embedding | None) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(
            f"PRAGMA application_id = {MARK}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;{TABLES}"
            f"{vectors.TABLE if embedding else ''}"
        )
        database.execute("BEGIN")
        texts: list[str] = []
        for each in documents:
            row = (each.id, each.title, each.licence, each.user, each.text)
            database.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", row)
            for passage in passages_of(each.text):
                texts.append(passage)
                number = len(texts)
                database.execute("INSERT INTO passages VALUES (?, ?, ?)", (number, each.id, passage))
                found = (number, searchable(each.title), searchable(passage))
                database.execute("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", found)
        meta = {"version": VERSION, "content": content, "documents": len(documents), "passages": len(texts)}
        if embedding:
            vectors.write(database, texts, embedding)
            meta |= {"embedding": embedding.content, "vectors": vectors.digest_of(database)}
        database.executemany("INSERT INTO meta VALUES (?, ?)", [(key, str(meta[key])) for key in meta])
        database.execute("COMMIT")
        database.execute("INSERT INTO words (words) VALUES ('optimize')")
        database.execute("VACUUM")


def _content_if_sound(path: Path) -> str | None:
    """The hash of an index's content; None where there is none, of this version, that is whole."""
    try:
        with opened(path) as index:
            is_whole = is_sound(index.database) and index.has_its_vectors()
            is_whole = is_whole and content_of(index.all(), _settings(index.embedding)) == index.content
            return index.content if is_whole else None
    except IndexProblem:
        return None


class Index:
    """An index that is read. Its content's hash says whether it is the one that is meant."""

    def __init__(self, database: sqlite3.Connection, meta: dict[str, str]) -> None:
        self.database = database
        self.content = meta["content"]
        self.documents, self.passages = int(meta["documents"]), int(meta["passages"])
        self.embedding = meta.get("embedding")  # the hash of the checkpoint of its vectors
        self._vectors = meta.get("vectors")  # their own hash

    def search(self, query: str, most: int, vector: bytes | None = None) -> list[Passage]:
        """The passages with the query's words, the best first; empty where it has no words, or none is found.

        A passage needs one of the words; the rarer ones count more (BM25), those of a title twice. With the
        query's `vector`, of the checkpoint of the index's, all passages are found, by both rankings.
        """
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise IndexProblem(f"passages is {most!r}, and must be a whole number of at least 1")
        match = " OR ".join(terms(query))
        if vector is not None:
            numbers = vectors.fused(self._by_words(match), vectors.nearest(self.database, vector))
            return [self._passage(number) for number in numbers[:most]]
        if not match:
            return []
        rows = self.database.execute(
            "SELECT p.number, d.id, d.title, d.licence, p.text FROM words "
            "JOIN passages p ON p.number = words.rowid JOIN documents d ON d.id = p.document "
            "WHERE words MATCH ? ORDER BY bm25(words, 2.0, 1.0), p.number LIMIT ?",
            (match, most),
        )
        return [Passage(*row) for row in rows]

    def _by_words(self, match: str) -> list[int]:
        ranked = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words, 2.0, 1.0), rowid"
        return [number for (number,) in self.database.execute(ranked, (match,))] if match else []

    def _passage(self, number: int) -> Passage:
        row = self.database.execute(
            "SELECT p.number, d.id, d.title, d.licence, p.text FROM passages p "
            "JOIN documents d ON d.id = p.document WHERE p.number = ?",
            (number,),
        ).fetchone()
        if row is None:
            raise sqlite3.DatabaseError(f"passage {number} is missing")
        return Passage(*row)

    def cut(self) -> int:
        """How many passages were longer than the context of the checkpoint of the vectors."""
        if not self.embedding:
            return 0
        return self.database.execute("SELECT count(*) FROM vectors WHERE is_cut").fetchone()[0]

    def kept(self) -> vectors.Kept | None:
        """The vectors of its passages, for an index of some of its documents; None where it has none."""
        return vectors.kept(self.database, self.embedding) if self.embedding else None

    def has_its_vectors(self) -> bool:
        """Whether the vectors are those that were written."""
        return not self.embedding or vectors.digest_of(self.database) == self._vectors

    def longest(self, most: int) -> list[Passage]:
        """The longest of its first thousand passages, up to `most`."""
        rows = self.database.execute(
            "SELECT p.number, d.id, d.title, d.licence, p.text FROM passages p "
            "JOIN documents d ON d.id = p.document WHERE p.number <= 1000 "
            "ORDER BY length(d.title) + length(p.text) DESC, p.number LIMIT ?",
            (most,),
        )
        return [Passage(*row) for row in rows]

    def all(self) -> list[Document]:
        """All documents, in the order of their ids."""
        rows = self.database.execute("SELECT id, title, text, licence, user FROM documents")
        return sorted((Document(*row) for row in rows), key=lambda each: each.id)


@contextmanager
def opened(path: Path, content: str | None = None, embedding: str | None = None) -> Iterator[Index]:
    """An index to search in; it must be of this version, and of this `content` where one is given.

    Its vectors must be of the checkpoint with the hash `embedding`, if that is given. Raises IndexProblem.
    """
    remedy = BUILD.format(path=path)
    if not path.is_file():
        raise IndexProblem(f"{path}: there is no such index; {remedy}")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            meta = meta_of(database)
            if meta is None and not is_ours(path):
                raise IndexProblem(f"{path}: is no index of passages; name another file, and {remedy}")
            if meta is None:
                raise IndexProblem(f"{path}: is broken (it does not say what it holds); {remedy}")
            if meta["version"] != VERSION:
                raise IndexProblem(
                    f"{path}: is of version {meta['version']}, and {VERSION} is read here; {remedy}"
                )
            if content is not None and meta["content"] != content:
                raise IndexProblem(
                    f"{path}: its content is {meta['content'][:12]}, and {content[:12]} is expected; state "
                    "the present one in tools.functions (settings: content), or restore the other file"
                )
            if embedding is not None and meta.get("embedding") != embedding:
                had = meta.get("embedding")
                has = f"vectors of the checkpoint {had[:12]}" if had else "no vectors"
                raise IndexProblem(
                    f"{path}: it has {has}, and {embedding[:12]} is to search it; name the checkpoint of its "
                    "vectors in tools.functions (settings: embedding), or build the index with this one "
                    "(`index --embedding`, or `embedding` of its collection in documents)"
                )
            yield Index(database, meta)
    except sqlite3.OperationalError as error:
        if "unable to open" in str(error):
            raise IndexProblem(f"{path}: cannot be read ({error}); make it readable") from None
        raise IndexProblem(f"{path}: is broken ({error}); {remedy}") from None
    except sqlite3.DatabaseError as error:
        raise IndexProblem(f"{path}: is broken ({error}); {remedy}") from None


def documents_in(path: Path, users: set[str]) -> list[Document]:
    """The documents of these users in an index; none where there is no index. Raises IndexProblem."""
    if not path.is_file():
        return []
    with opened(path) as index:
        return [each for each in index.all() if each.user in users]


def remove_user(path: Path, users: set[str]) -> int:
    """Take these users' documents out of an index, as if they had never been in it; how many there were."""
    if not documents_in(path, users):
        return 0
    with opened(path) as index:
        documents, embedding = index.all(), index.kept()
    kept = [each for each in documents if each.user not in users]
    if kept:
        build(path, kept, embedding)
    else:
        path.unlink()
    return len(documents) - len(kept)
