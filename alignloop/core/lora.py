"""LoRA (arXiv 2106.09685): trains small adapter matrices only; with these off a policy is its reference."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core import devices
from alignloop.core.four_bits import FourBitLinear, has_four_bits, to_whole

if TYPE_CHECKING:  # peft takes a second to import, and few runs use LoRA
    from peft import PeftModel


def add_adapters(model: PreTrainedModel, rank: int, alpha: int, seed: int) -> "PeftModel":
    """Add adapters to every linear layer except the head, in place, and freeze all other weights.

    The model is a policy, or the trunk of a reward model. Adapters start at zero, so no logit changes.
    """
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(devices=[]):  # leaves the caller's random number stream unchanged
        torch.manual_seed(seed)
        config = LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type=None if model.get_output_embeddings() is None else "CAUSAL_LM",
        )
        return get_peft_model(model, config)


def merge_adapters(adapted: "PeftModel", whole: PreTrainedModel | None = None) -> PreTrainedModel:
    """The model with its adapters merged into its weights, so that any loader reads its checkpoint.

    The model itself is changed, except where it is sharded: then a whole copy is, `whole` if it is given.
    Layers of four bits become whole on the CPU first: the numbers that passes read, with adapters in fp32.
    """
    model = adapted.get_base_model()
    if has_four_bits(model):
        to_whole(model.to("cpu"))
    whole = cast(PreTrainedModel, devices.whole_copy(model)) if whole is None else whole
    if whole is model:
        return adapted.merge_and_unload()
    tuner = cast(Any, copy.copy(adapted.base_model))  # the same, around a copy of the sharded model
    tuner._modules = dict(tuner._modules)
    tuner.model = whole
    return tuner.merge_and_unload()


@contextmanager
def adapters_off(reference: "PreTrainedModel | PeftModel") -> Iterator[PreTrainedModel]:
    """The reference model: a model itself, or a policy whose adapters are off inside the block."""
    if isinstance(reference, PreTrainedModel):
        yield reference
    else:
        with reference.disable_adapter():
            yield cast(PreTrainedModel, reference.get_base_model())


@torch.no_grad()
def merged_weights(policy: PreTrainedModel) -> dict[str, Tensor]:
    """The policy's weights by name, tied ones under each of their names, with adapters merged in.

    The policy itself stays as it is.
    """
    adapted: dict[str, Any] = {
        name: layer for name, layer in policy.named_modules() if hasattr(layer, "get_delta_weight")
    }
    packed = {name: layer for name, layer in policy.named_modules() if isinstance(layer, FourBitLinear)}
    weights: dict[str, Tensor] = {}
    for name, weight in policy.state_dict().items():
        place, _, leaf = name.rpartition(".")
        if place in packed and leaf == "weight":
            weight = packed[place].whole_weight()
        if place.removesuffix(".base_layer") in adapted and place.endswith(".base_layer"):
            layer = place.removesuffix(".base_layer")
            if leaf == "weight":
                weight = weight + adapted[layer].get_delta_weight("default")
            weights[f"{layer}.{leaf}"] = weight
        elif ".lora_" not in name:
            weights[name] = weight
    return weights
