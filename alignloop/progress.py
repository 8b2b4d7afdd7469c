"""What a stage yields while it works: how far it is and the newest numbers. The caller prints and logs; the stage knows no tracker."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """`step` of `total` is done; `metrics` are its numbers, `note` is for people to read at once; an earlier run did what is `recalled`."""

    step: int
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    recalled: bool = False
