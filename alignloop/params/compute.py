"""Parameters of `compute`: the device of the models, and how much one forward pass holds."""

from typing import Literal

from alignloop.params.section import Count, Section


class Compute(Section):
    """A device, and the limits of a pass in tokens. All are part of the result: others round differently."""

    device: Literal["auto", "cpu", "cuda", "mps"]
    tokens_per_pass: Count
    head_tokens: Count | None
