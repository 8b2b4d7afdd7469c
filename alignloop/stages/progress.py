"""What a stage yields while it works: how far it is and the newest numbers. The caller prints and logs; the stage knows no tracker."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """`step` of `total` is done; `metrics` are the numbers of this step, and `note` is what people should read at once."""

    step: int
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
