"""Parameters of `compute`: device and processes of the models, and precision and size of a forward pass."""

from typing import Literal

from alignloop.params.section import Count, Section


class Compute(Section):
    """Device, processes, and the precision and limits (in tokens) of a pass: part of the result, by rounding.

    `launch` and `elastic` are no part of it.
    """

    device: Literal["auto", "cpu", "cuda", "mps"]
    processes: Count
    shard: Literal["none", "full", "host"]
    launch: str | None
    elastic: bool
    precision: Literal["fp32", "bf16"]
    frozen_weights: Literal["whole", "4bit"]
    gradient_checkpointing: bool
    tokens_per_pass: Count
    head_tokens: Count | None

    @property
    def four_bits(self) -> bool:
        """Whether linear layers that do not learn are kept in four bits."""
        return self.frozen_weights == "4bit"
