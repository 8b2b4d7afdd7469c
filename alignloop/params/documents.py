"""Parameters of `documents`: the collections of documents that responses may search."""

from typing import Annotated

from pydantic import Field

from alignloop.params.section import Key, Section, StageName, Whole


class Collection(Section):
    """A folder of documents; `licence` is that of all that state none.

    `embedding` is the folder of the checkpoint that gives passages vectors; null: words alone find them.
    """

    folder: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(min_length=1)]
    max_refused: Whole
    embedding: Annotated[str, Field(min_length=1)] | None


CollectionPlans = dict[StageName, Collection]
Collections = Annotated[dict[str, Collection], Key("documents")]
