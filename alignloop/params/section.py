"""What all sections of params.yaml share: strict types, and ranges of numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """What all sections share: immutable, strict about keys and types, no defaults (those live in params.yaml)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
