"""Parameters of `compute`: how much of a training or scoring step one forward pass holds."""

from alignloop.params.section import Count, Section


class Compute(Section):
    """Limits of a pass, in tokens. Both are part of the result: another limit rounds differently."""

    tokens_per_pass: Count
    head_tokens: Count | None
