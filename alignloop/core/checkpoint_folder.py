"""Checkpoint folders in Hugging Face's layout: checks of their files, and loading of weights and tokenizer.

Weights are safetensors. Left out: remote code and pickles.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.tokens import TokenizerError, check_tokenizer
from alignloop.errors import LFS_POINTER, AlignloopError


class CheckpointError(AlignloopError):
    """A checkpoint cannot be loaded; the message names the folder, the file and the remedy."""


def check_folder(path: str) -> None:
    """Raise CheckpointError if a local checkpoint lacks a file; a hub id is left to the hub."""
    folder = Path(path)
    if not folder.exists():
        if path.startswith((".", "/", "models/")) or path.count("/") != 1:
            raise CheckpointError(
                f"{path}: no such checkpoint folder; run the stage that makes it, or correct the path in "
                "params.yaml"
            )
        return
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{path}: config.json is missing: this is not a Hugging Face checkpoint")
    if not list(folder.glob("*.safetensors")):
        pickles = [*folder.glob("*.bin"), *folder.glob("*.pt")]
        hint = (
            f"only {pickles[0].name}, a pickle that can run code; convert it to safetensors"
            if pickles
            else "the weights are missing"
        )
        raise CheckpointError(f"{path}: no *.safetensors file: {hint}")
    if not (folder / "tokenizer_config.json").is_file():
        raise CheckpointError(
            f"{path}: tokenizer_config.json is missing: save the tokenizer beside the model"
        )
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        with file.open("rb") as content:
            if content.read(len(LFS_POINTER)) == LFS_POINTER:
                raise CheckpointError(
                    f"{file}: this is a Git LFS pointer instead of the file; fetch the file with `git lfs "
                    "pull`"
                )


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """A checkpoint's tokenizer, checked for use with dialogues. Raises CheckpointError or TokenizerError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        remedy = (
            "restore tokenizer.json"
            if Path(path).exists()
            else "correct the hub id, or be online when it is fetched the first time"
        )
        raise CheckpointError(
            f"{path}: the tokenizer cannot be read ({first_line(error)}); {remedy}"
        ) from None
    try:
        check_tokenizer(tokenizer)
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from None
    return tokenizer


def load_weights(kind: Any, path: str | Path) -> PreTrainedModel:
    """`kind.from_pretrained` in fp32. Raises CheckpointError where weights are missing or cannot be read.

    transformers itself fills missing weights with random numbers and only warns.
    """
    try:
        model, report = kind.from_pretrained(
            str(path),
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: the weights cannot be read ({first_line(error)}); restore them or use another "
            "checkpoint"
        ) from None
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{path}: the weights lack {len(missing)} tensors of the model, the first is {missing[0]}; "
            "restore them"
        )
    return model


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type where there is no message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
