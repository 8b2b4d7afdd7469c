"""Parameters of `documents`: the collections of documents that responses may search."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from alignloop.params.section import Key, Section, Whole


class Collection(Section):
    """A folder of documents; `licence` is that of all that state none."""

    folder: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(min_length=1)]
    max_refused: Whole


def _name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise ValueError(
            "the name of a collection must be 1 to 40 small letters, digits and _, a letter first"
        )
    return name


CollectionPlans = dict[Annotated[str, AfterValidator(_name)], Collection]
Collections = Annotated[dict[str, Collection], Key("documents")]
