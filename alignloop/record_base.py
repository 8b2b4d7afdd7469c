"""What all record types share: the base, and the texts and ids in them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Record(BaseModel):
    """Base of all records: immutable, unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
