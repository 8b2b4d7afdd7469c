"""Parameters of `compute`: device and processes of the models, and how much one forward pass holds."""

from typing import Literal

from pydantic import model_validator

from alignloop.params.section import Count, Section


class Compute(Section):
    """A device, processes, and the limits of a pass in tokens: part of the result, by rounding.

    `launch` and `elastic` are no part of it.
    """

    device: Literal["auto", "cpu", "cuda", "mps"]
    processes: Count
    shard: Literal["none", "full", "host"]
    launch: str | None
    elastic: bool
    tokens_per_pass: Count
    head_tokens: Count | None

    @model_validator(mode="after")
    def _processes_fit(self) -> "Compute":
        if self.shard != "none" and self.processes == 1:
            raise ValueError(
                f"shard: {self.shard} needs several processes; raise compute.processes, or set it to none"
            )
        if self.device == "mps" and self.processes > 1:
            raise ValueError("processes: several work on cpu or cuda only, not on mps; set them to 1")
        return self
