"""Parameters of checkpoints: how many steps lie between two. No result depends on them."""

from alignloop.params.section import Count, Section


class CheckpointEvery(Section):
    """Optimiser steps, and steps of PPO."""

    pretrain: Count
    sft: Count
    reward: Count
    ppo: Count
