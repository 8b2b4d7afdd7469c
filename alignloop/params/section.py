"""What all sections of params.yaml share: strict types, ranges of numbers, and how a stage asks for a key.

A stage's function names what it reads by annotation: a section's class (`plan: Ppo`) or, for a single key at
the top of params.yaml, one of the types below (`seed: Seed`). `alignloop/runner.py` fills them in.
"""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]


def _stage_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise ValueError("the name must be 1 to 40 small letters, digits and _, a letter first")
    return name


StageName = Annotated[str, AfterValidator(_stage_name)]  # of one of several stages of a kind, beside rounds


class Key(NamedTuple):
    """Marks an annotation as the value of this key at the top of params.yaml."""

    name: str


Seed = Annotated[int, Key("seed")]
BaseCheckpoint = Annotated[str | None, Key("base")]


class Section(BaseModel):
    """Immutable, strict about keys and types, without defaults: those are in params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
