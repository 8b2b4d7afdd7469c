"""PEFT's LoRA adapter folders: merged into their base, which other projects leave them beside."""

import json
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.checkpoint_folder import (
    CheckpointError,
    check_folder,
    check_kind,
    first_line,
    load_tokenizer,
    load_weights,
)
from alignloop.core.hub_ids import is_local
from alignloop.core.model_shape import ADAPTER
from alignloop.core.models import check_rows
from alignloop.phases import phase

WEIGHTS, PICKLE = "adapter_model.safetensors", "adapter_model.bin"


def base_of(folder: Path) -> str:
    """The base that the adapter's own config names. Raises CheckpointError."""
    named = _config(folder).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise CheckpointError(f"{folder}/{ADAPTER} names no base model; name it by --base")
    return named


def merged(folder: Path, base: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base with the adapter's weights merged in, and the tokenizer of the adapter, else of the base.

    Raises CheckpointError or TokenizerError: also where a weight of the adapter has no place in the base.
    """
    weights = _weights(folder)
    if is_local(base) and not Path(base).exists():
        raise CheckpointError(f"{folder}: the adapter's base {base} is not here; name its folder by --base")
    check_folder(base)
    check_kind(base)
    with phase("loading", of=base):
        model = load_weights(AutoModelForCausalLM, base).eval()
        own = (folder / "tokenizer_config.json").is_file()
        tokenizer = load_tokenizer(folder if own else base)
    check_rows(model, tokenizer, base)
    from peft import (  # takes a second
        LoraConfig,
        get_peft_model,
        get_peft_model_state_dict,
        set_peft_model_state_dict,
    )

    config = {
        **_config(folder),
        "inference_mode": True,
        "auto_mapping": None,
        "base_model_name_or_path": base,
    }
    try:
        adapted = get_peft_model(cast(Any, model), cast(Any, LoraConfig.from_peft_type(**config)))
        places = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
        report = set_peft_model_state_dict(adapted, weights)
    except MemoryError:
        raise
    except Exception as error:  # configs of all versions of peft, and weights of other shapes
        raise CheckpointError(
            f"{folder}: the adapter does not fit {base} ({first_line(error)}); name the base that it was "
            "trained on by --base"
        ) from None
    lost = list(report.unexpected_keys)
    bare = sorted(places - weights.keys())
    if lost or bare:
        raise CheckpointError(
            f"{folder}: {len(lost)} weights of the adapter have no place in {base}, {len(bare)} places have "
            f"no weight, the first is {(lost + bare)[0]}; name the base that it was trained on by --base"
        )
    return cast(PreTrainedModel, adapted.merge_and_unload()), tokenizer


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
        kind = found.get("peft_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{folder}/{ADAPTER} cannot be read ({first_line(error)}); restore it"
        ) from None
    if kind != "LORA":
        raise CheckpointError(f"{folder}: a {kind} adapter cannot be merged; LoRA adapters can")
    return found


def _weights(folder: Path) -> dict[str, Tensor]:
    file = folder / WEIGHTS
    if not file.is_file():
        if (folder / PICKLE).is_file():
            raise CheckpointError(
                f"{folder}: only {PICKLE}, a pickle that can run code; save the adapter as safetensors"
            )
        raise CheckpointError(f"{folder}: {WEIGHTS} is missing: restore the adapter's weights")
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read ({first_line(error)}); restore it") from None
