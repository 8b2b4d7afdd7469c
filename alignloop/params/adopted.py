"""Parameters of `adopted`: how a checkpoint that was trained elsewhere becomes a round's policy."""

from alignloop.params.section import Section


class Adopted(Section):
    """`base` is what a LoRA adapter was trained on; null: what its own adapter_config.json names."""

    base: str | None
