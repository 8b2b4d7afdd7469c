"""LoRA (arXiv 2106.09685): a policy of which only small matrices beside its linear layers learn; with them off, it is its own reference."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from transformers import PreTrainedModel

if TYPE_CHECKING:  # peft takes a second to import, and few runs adapt
    from peft import PeftModel


def adapt(policy: PreTrainedModel, rank: int, alpha: int, seed: int) -> "PeftModel":
    """Put adapters into the policy itself, beside each linear layer but the head, and freeze all else; no logit changes yet."""
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(devices=[]):  # the caller's own stream of random numbers stays as it is
        torch.manual_seed(seed)
        config = LoraConfig(
            r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        return get_peft_model(policy, config)


def merged(adapted: "PeftModel") -> PreTrainedModel:
    """The policy with its adapters added into its weights: a checkpoint that any loader reads."""
    return adapted.merge_and_unload()


@contextmanager
def reading(reference: "PreTrainedModel | PeftModel") -> Iterator[PreTrainedModel]:
    """The reference while it is read: a model, or an adapted policy whose adapters are off inside the block."""
    if isinstance(reference, PreTrainedModel):
        yield reference
    else:
        with reference.disable_adapter():
            yield cast(PreTrainedModel, reference.get_base_model())
