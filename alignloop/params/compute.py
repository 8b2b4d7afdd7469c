"""Parameters of `compute`: the device of the models, the precision of a pass, and how much one holds."""

from typing import Literal

from alignloop.params.section import Count, Section


class Compute(Section):
    """The device, and the precision and limits (in tokens) of a pass.

    All are part of the result: others round differently.
    """

    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["fp32", "bf16"]
    gradient_checkpointing: bool
    tokens_per_pass: Count
    head_tokens: Count | None
