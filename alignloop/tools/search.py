"""The search: passages of a local index, by words. It uses no network."""

from pathlib import Path
from typing import Any

from alignloop.retrieval.citations import SEARCH, shown
from alignloop.retrieval.index import IndexProblem, opened
from alignloop.tools.definition import ToolProblem, ToolStops, tool

LONGEST = 500  # characters of a query
SETTINGS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "index": {"type": "string", "minLength": 1},
        "content": {"type": ["string", "null"], "minLength": 1},
        "passages": {"type": "integer", "minimum": 1},
    },
    "required": ["index"],
    "additionalProperties": False,
}


def usable(*, index: str, content: str | None = None, passages: int = 3) -> str:
    """The longest result that is to be expected. Raises ToolStops where the index cannot be used."""
    try:
        with opened(Path(index), content) as found:
            found.search("a", 1)  # the index of words may be broken by itself
            return shown(found.longest(passages))
    except IndexProblem as error:
        raise ToolStops(str(error)) from None


@tool(
    SEARCH,
    "Finds passages in a collection of documents by words. Each has a number, by which you cite it: [17].",
    {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "words to look for"}},
        "required": ["query"],
        "additionalProperties": False,
    },
    settings=SETTINGS,
    check=usable,
)
def search(query: str, *, index: str, content: str | None = None, passages: int = 3) -> str:
    """The best passages for a query. `index` is the file, `content` the hash that it must have.

    Raises ToolProblem for a query without words, and ToolStops where the index cannot be used.
    """
    if len(query) > LONGEST:
        raise ToolProblem(f"the query has {len(query)} characters, at most {LONGEST} are read")
    if not any(each.isalnum() for each in query):
        raise ToolProblem("the query has no words")
    try:
        with opened(Path(index), content) as found:
            return shown(found.search(query, passages))
    except IndexProblem as error:
        raise ToolStops(str(error)) from None
