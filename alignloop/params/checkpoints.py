"""Parameters of checkpoints: how many steps lie between two, and how much time. No result depends on them."""

from alignloop.params.section import Count, Section


class CheckpointEvery(Section):
    """Optimiser steps, and steps of PPO; null: by `checkpoint_minutes` alone."""

    pretrain: Count | None
    sft: Count | None
    reward: Count | None
    ppo: Count | None
    dpo: Count | None
