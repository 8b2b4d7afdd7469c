"""Parameters of LoRA, as `sft`, `reward`, `ppo` and `dpo` have them."""

from alignloop.params.section import Count, Section


class Lora(Section):
    """Adapters of this rank, scaled by alpha / rank."""

    rank: Count
    alpha: Count
