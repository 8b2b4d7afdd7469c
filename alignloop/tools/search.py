"""The search: passages of a local index, by words, and perhaps by vectors. It uses no network."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignloop.errors import AlignloopError
from alignloop.retrieval.citations import shown
from alignloop.retrieval.index import opened
from alignloop.retrieval.vectors import content_of
from alignloop.tools.definition import ToolProblem, ToolStops, tool
from alignloop.tools.search_form import TOLD

if TYPE_CHECKING:  # brings torch
    from alignloop.retrieval.embedding import Embedder

LONGEST = 500  # characters of a query
SETTINGS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "index": {"type": "string", "minLength": 1},
        "content": {"type": ["string", "null"], "minLength": 1},
        "passages": {"type": "integer", "minimum": 1},
        "embedding": {"type": ["string", "null"], "minLength": 1},
    },
    "required": ["index"],
    "additionalProperties": False,
}


@cache
def _embedder(folder: str) -> "Embedder":
    from alignloop.retrieval.embedding import Embedder  # torch takes seconds, and words need none

    return Embedder(Path(folder))


def prepared(
    *, index: str, content: str | None = None, passages: int = 3, embedding: str | None = None
) -> None:
    """Load the checkpoint of the vectors, if one is named. Raises ToolStops where it cannot be used."""
    if embedding is None:
        return
    try:
        with opened(Path(index), content, content_of(Path(embedding))):  # before what takes seconds
            _embedder(embedding)
    except AlignloopError as error:
        raise ToolStops(str(error)) from None


def usable(*, index: str, content: str | None = None, passages: int = 3, embedding: str | None = None) -> str:
    """The longest result that is to be expected. Raises ToolStops where the index cannot be used."""
    _search("a", index, content, 1, embedding)  # the words, or the vectors, may be broken by themselves
    try:
        with opened(Path(index), content) as found:
            return shown(found.longest(passages))
    except AlignloopError as error:
        raise ToolStops(str(error)) from None


@tool(
    TOLD.name,
    TOLD.description,
    TOLD.parameters,
    settings=SETTINGS,
    check=usable,
    prepare=prepared,
)
def search(
    query: str, *, index: str, content: str | None = None, passages: int = 3, embedding: str | None = None
) -> str:
    """The best passages for a query. `index` is the file, `content` the hash that it must have.

    With `embedding`, the folder of the checkpoint that gave passages their vectors, they are found by vectors
    too. Raises ToolProblem for a query without words, and ToolStops where index or checkpoint cannot be used.
    """
    if len(query) > LONGEST:
        raise ToolProblem(f"the query has {len(query)} characters, at most {LONGEST} are read")
    if not any(each.isalnum() for each in query):
        raise ToolProblem("the query has no words")
    return _search(query, index, content, passages, embedding)


def _search(query: str, index: str, content: str | None, passages: int, embedding: str | None) -> str:
    try:
        embedder = _embedder(embedding) if embedding is not None else None
        with opened(Path(index), content, embedder and embedder.content) as found:
            [vector] = [each.numbers for each in embedder.vectors([query])] if embedder else [None]
            return shown(found.search(query, passages, vector))
    except AlignloopError as error:
        raise ToolStops(str(error)) from None
