"""The reward model of held-out labelers, which lies in a subfolder of the round's reward model."""

from pathlib import Path

from alignloop.core.checkpoint_folder import CheckpointError
from alignloop.core.reward_model import HELD_OUT, RewardModel


def load_held_out_model(reward: Path, needed_by: str, four_bits: bool = False) -> RewardModel:
    """Load it, frozen; `needed_by` is the key of params.yaml that asks for it. Raises CheckpointError."""
    folder = reward / HELD_OUT
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: {needed_by} needs this reward model; set reward.held_out_model to true"
        )
    return RewardModel.load(folder, four_bits).frozen()
