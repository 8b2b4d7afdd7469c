"""What a policy is told of the search. Apart from the tool itself, which may load a checkpoint."""

from alignloop.retrieval.citations import SEARCH
from alignloop.tools.definition import Definition

TOLD = Definition(
    SEARCH,
    "Finds passages in a collection of documents by words. Each has a number, by which you cite it: [17].",
    {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "words to look for"}},
        "required": ["query"],
        "additionalProperties": False,
    },
)
