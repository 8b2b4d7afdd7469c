"""Parameters of `documents`: the collections of documents that responses may search."""

from typing import Annotated

from pydantic import Field

from alignloop.params.section import Key, Section, StageName, Whole


class Collection(Section):
    """A folder of documents; `licence` is that of all that state none."""

    folder: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(min_length=1)]
    max_refused: Whole


CollectionPlans = dict[StageName, Collection]
Collections = Annotated[dict[str, Collection], Key("documents")]
