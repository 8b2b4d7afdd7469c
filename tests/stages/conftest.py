"""A tiny SFT model on disk, for the stages that start from one."""

from pathlib import Path

import pytest

from alignloop.core.models import new_policy, save_policy
from alignloop.core.tokens import train_tokenizer

TEXTS = ["Is the sea full of salt? Yes, it is.", "Who painted the door green? Nobody knows who painted it."]


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of width 16, and a tokenizer of 300 tokens."""
    folder = tmp_path_factory.mktemp("models") / "sft"
    tokenizer = train_tokenizer(TEXTS * 3, 300)
    save_policy(new_policy(tokenizer, layers=1, width=16, heads=2, context=96, seed=0), tokenizer, folder)
    return folder
