"""Checkpoint folders in Hugging Face's layout: checks of their files, and loading of weights and tokenizer.

Weights are safetensors. Left out: remote code and pickles.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    CONFIG_MAPPING,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from alignloop.core.chat_template import TokenizerError
from alignloop.core.hub_ids import is_local
from alignloop.core.model_shape import ADAPTER, is_adapter
from alignloop.core.tokens import check_tokenizer
from alignloop.errors import LFS_POINTER, AlignloopError


class CheckpointError(AlignloopError):
    """A checkpoint cannot be loaded; the message names the folder, the file and the remedy."""


def check_folder(path: str) -> None:
    """Raise CheckpointError if a local checkpoint lacks a file; a hub id is left to the hub."""
    folder = Path(path)
    if not folder.exists():
        if is_local(path):
            raise CheckpointError(
                f"{path}: no such checkpoint folder; run the stage that makes it, or correct the path in "
                "params.yaml"
            )
        return
    if folder.is_file():
        raise CheckpointError(f"{path}: {_one_file(folder)}")
    if is_adapter(folder):
        raise CheckpointError(f"{path}: {_adapter(folder)}")
    if not (folder / "config.json").is_file():
        packed = [*folder.glob("*.gguf")]
        why = _one_file(packed[0]) if packed else "this is not a Hugging Face checkpoint"
        raise CheckpointError(f"{path}: config.json is missing: {why}")
    if not list(folder.glob("*.safetensors")):
        others = [*folder.glob("*.gguf"), *folder.glob("*.bin"), *folder.glob("*.pt")]
        hint = _one_file(others[0]) if others else "the weights are missing"
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


def _one_file(file: Path) -> str:
    if file.suffix == ".gguf":
        return (
            f"{file.name} is GGUF, weights for running a model; take the safetensors checkpoint that it was "
            "converted from"
        )
    if file.suffix in {".bin", ".pt"}:
        return f"only {file.name}, a pickle that can run code; convert it to safetensors"
    return f"{file.name} is a file; give the folder that holds config.json"


def _adapter(folder: Path) -> str:
    """What is to be done with a folder that holds an adapter only; the command is for a shell."""
    merged = f"{folder}-merged"
    tokenizer = folder
    if not (folder / "tokenizer_config.json").is_file():
        tokenizer = _json(folder / ADAPTER).get("base_model_name_or_path") or "BASE"
    return (
        "only an adapter (LoRA), not a whole model; merge it into its base and take the result: "
        f'.venv/bin/python -c "from peft import AutoPeftModelForCausalLM as M; '
        f"from transformers import AutoTokenizer as T; m, t = '{folder}', '{merged}'; "
        f"M.from_pretrained(m).merge_and_unload().save_pretrained(t); "
        f"T.from_pretrained('{tokenizer}').save_pretrained(t)\""
    )


def check_kind(path: str) -> None:
    """Raise CheckpointError, from its config, for what is no unquantised causal language model."""
    config = _config(path)
    reason = _other_kind(config) or _quantised(config) or _too_few_tensors(Path(path), config)
    if reason:
        raise CheckpointError(f"{path}: {reason}")


def check_classifier(path: str) -> None:
    """Raise CheckpointError, from its config, for what is no unquantised sequence classifier of one label."""
    config = _config(path)
    reason = _no_score(config) or _quantised(config) or _too_few_tensors(Path(path), config)
    if reason:
        raise CheckpointError(f"{path}: {reason}")


def check_trunk(path: str) -> None:
    """Raise CheckpointError, from its config, for what gives no hidden states of a text alone."""
    config = _config(path)
    family = config.get("model_type")
    reason = _quantised(config) or _too_few_tensors(Path(path), config)
    if family not in CONFIG_MAPPING:
        reason = f"{family} needs code from the checkpoint, which is never run; use a family of transformers"
    elif config.get("is_encoder_decoder"):
        reason = f"{family} is an encoder-decoder; use an encoder, or a causal language model"
    if reason:
        raise CheckpointError(f"{path}: {reason}")


def _config(path: str) -> dict[str, Any]:
    try:
        return PreTrainedConfig.get_config_dict(path)[0]
    except MemoryError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{path}: config.json cannot be read ({first_line(error)}); {_restore(path)}"
        ) from None


def _no_score(config: Mapping[str, Any]) -> str:
    """Why a model gives no score, if it gives none."""
    family, named = config.get("model_type"), next(iter(config.get("architectures") or ()), None)
    if config.get("auto_map") and family not in CONFIG_MAPPING:
        return (
            f"{named or family} needs code from the checkpoint, which is never run; use a family that "
            "transformers has"
        )
    if not isinstance(named, str) or not named.endswith("ForSequenceClassification"):
        return (
            f"{named or 'it'} has no head that gives a score; take a checkpoint of a "
            "…ForSequenceClassification with one label, as reward models on the hub are saved"
        )
    labels = len(config.get("id2label") or ()) or config.get("num_labels", 2)
    if labels != 1:
        return f"{named} gives {labels} numbers for a text; take one with one label (num_labels: 1)"
    return ""


def _other_kind(config: Mapping[str, Any]) -> str:
    """What model it is, if it is no causal language model."""
    family = config.get("model_type")
    named = next(iter(config.get("architectures") or ()), None) or family
    if not isinstance(family, str) or not isinstance(named, str):
        return "config.json does not name its model_type; restore it"
    if config.get("auto_map") and family not in CONFIG_MAPPING:
        return (
            f"{named} needs code from the checkpoint, which is never run; use a family that transformers has"
        )
    if config.get("is_encoder_decoder") or (
        named.endswith("ForConditionalGeneration")
        and (family in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    ):
        return f"{named} is an encoder-decoder; use a causal (decoder-only) language model"
    if family in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.get("is_decoder"):
        return f"{named} is an encoder, which does not continue a text; use a causal language model"
    if "Classification" in named or named.endswith(("RewardModel", "QuestionAnswering")):
        return (
            f"{named} is a classifier or a reward model: its head gives scores, not tokens; take the "
            "language model that it was made from"
        )
    return ""


def _quantised(config: Mapping[str, Any]) -> str:
    """By what the weights are quantised, if they are."""
    parts = [config, *(part for part in config.values() if isinstance(part, Mapping))]
    found = next((part["quantization_config"] for part in parts if part.get("quantization_config")), None)
    if found is None:
        return ""
    method = found.get("quant_method", "quantised") if isinstance(found, Mapping) else "quantised"
    return (
        f"the weights are quantised ({method}), and training needs whole ones; take the checkpoint that it "
        "was quantised from"
    )


def _too_few_tensors(folder: Path, config: Mapping[str, Any]) -> str:
    """Whether the config has more layers than the folder has tensors: building them could take for ever."""
    inner = config.get("text_config")
    layers = (inner if isinstance(inner, Mapping) else config).get("num_hidden_layers")
    if not folder.is_dir() or not isinstance(layers, int):
        return ""
    tensors = 0
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, framework="pt") as content:
                tensors += len(content.keys())
        except (OSError, SafetensorError):  # loading says what is wrong with the file
            return ""
    if layers <= tensors:
        return ""
    return f"config.json has {layers:,} layers, the weights only {tensors} tensors; restore config.json"


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _restore(path: str | Path) -> str:
    if Path(path).exists():
        return "restore it"
    return "correct the hub id, or be online when it is fetched the first time"


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """A checkpoint's tokenizer, checked for use with dialogues. Raises CheckpointError or TokenizerError."""
    tokenizer = read_tokenizer(path)
    try:
        check_tokenizer(tokenizer)
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from None
    return tokenizer


def read_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """A checkpoint's tokenizer, whether it can render dialogues or not. Raises CheckpointError."""
    try:
        return AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    except MemoryError:
        raise
    except Exception as error:  # what a broken file raises depends on where it is broken
        remedy = "restore tokenizer.json" if Path(path).exists() else _restore(path)
        raise CheckpointError(
            f"{path}: the tokenizer cannot be read ({first_line(error)}); {remedy}"
        ) from None


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
    except MemoryError:
        raise
    except Exception as error:  # what a broken file raises depends on where it is broken
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
