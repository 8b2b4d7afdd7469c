"""LoRA (arXiv 2106.09685): trains small adapter matrices only; with these off the policy is its reference."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import PreTrainedModel

from alignloop.core import devices

if TYPE_CHECKING:  # peft takes a second to import, and few runs use LoRA
    from peft import PeftModel


def add_adapters(policy: PreTrainedModel, rank: int, alpha: int, seed: int) -> "PeftModel":
    """Add adapters to every linear layer except the head, in place, and freeze all other weights.

    Adapters start at zero, so no logit changes.
    """
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(devices=[]):  # leaves the caller's random number stream unchanged
        torch.manual_seed(seed)
        config = LoraConfig(
            r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        return get_peft_model(policy, config)


def merge_adapters(adapted: "PeftModel") -> PreTrainedModel:
    """The policy with its adapters merged into its weights, so that any loader reads its checkpoint."""
    policy = adapted.get_base_model()
    whole = devices.whole_copy(policy)
    if whole is policy:
        return adapted.merge_and_unload()
    tuner = cast(Any, copy.copy(adapted.base_model))  # the same, around a copy of the sharded policy
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
