"""The reward model: a language model's trunk with a scalar head, and its checkpoint.

Its folder holds the trunk as `AutoModel` reads it, and `head.safetensors` with weight (1, H), bias (1) and
normalisation (1).
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core import devices, parallel_passes
from alignloop.core.checkpoint_folder import CheckpointError, check_folder, first_line, load_weights
from alignloop.core.four_bits import to_four_bits
from alignloop.core.lora import merge_adapters
from alignloop.core.models import HEAD, branched_states, hidden_states
from alignloop.core.precision import freeze
from alignloop.phases import phase

if TYPE_CHECKING:  # peft takes a second to import, and few runs use LoRA
    from peft import PeftModel

HELD_OUT = "held_out"  # a subfolder of a reward model: a second one, trained on rankings of held-out labelers


class RewardModel(nn.Module):
    """A trunk and a linear head: one score for a prompt and a response, read at the response's last token.

    The score is head − normalisation. The head is initialised from N(0, 1/√(H+1)) with bias 0 (arXiv
    2403.17031, detail 11). The value model of PPO is a copy of the reward model, read at every token, or
    such a head on the policy's own trunk.
    """

    normalisation: Tensor

    def __init__(self, trunk: PreTrainedModel, width: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(width, 1)
        self.register_buffer("normalisation", torch.zeros(1))

    @classmethod
    def from_policy(cls, policy: PreTrainedModel, seed: int) -> "RewardModel":
        """A reward model on a copy of the policy's trunk, its head drawn from `seed`."""
        width = cast(nn.Embedding, policy.get_input_embeddings()).embedding_dim
        model = cls(cast(PreTrainedModel, copy.deepcopy(policy.base_model)), width)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(model.head.weight, std=(width + 1) ** -0.5, generator=generator)
        nn.init.zeros_(model.head.bias)
        return model.to(policy.device)

    @classmethod
    def on_trunk_of(cls, policy: PreTrainedModel) -> "RewardModel":
        """A head of zeros on the policy's own trunk, a value model without more memory (arXiv 1909.08593)."""
        model = cls(
            cast(PreTrainedModel, policy.base_model),
            cast(nn.Embedding, policy.get_input_embeddings()).embedding_dim,
        )
        nn.init.zeros_(model.head.weight)
        nn.init.zeros_(model.head.bias)
        return model.to(policy.device)

    def frozen(self) -> "RewardModel":
        """Let nothing learn; the trunk's linear layers get the precision of passes. Returns itself."""
        freeze(self.trunk)
        self.requires_grad_(False)
        return self

    def read(self, states: Tensor) -> Tensor:
        """The scores (…) of last hidden states (…, H), on the CPU."""
        with torch.autocast(states.device.type, enabled=False):  # bf16 has three digits: too few for a score
            scores = devices.read(self.head, lambda: self.head(states.float()))
        return (scores.squeeze(-1) - self.normalisation).cpu()

    def per_token(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The scores at every position (B, T)."""
        return self.read(hidden_states(self.trunk, ids, mask))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The scores (B,) at each row's last real token; padding may be on either side."""
        last = (mask * torch.arange(mask.shape[1])).argmax(1)
        hidden = hidden_states(self.trunk, ids, mask)[torch.arange(len(ids)), last]
        return self.read(hidden)

    def branches(self, ids: Tensor, positions: Tensor, attention: Tensor, ends: Tensor) -> Tensor:
        """Scores (N,) of responses in packed rows; `ends` (B, T) marks their last tokens."""
        return self.read(branched_states(self.trunk, ids, positions, attention)[ends])

    def save(
        self, folder: Path, tokenizer: PreTrainedTokenizerBase, adapted: "PeftModel | None" = None
    ) -> None:
        """Write trunk, tokenizer and head; of several processes every one asks, and rank 0 writes.

        `adapted` is the trunk with its adapters, if it has any: they are merged into what is written.
        """
        model = devices.whole_copy(self)
        if not parallel_passes.is_writer():
            return
        with phase("saving the reward model"):
            trunk = merge_adapters(adapted, model.trunk) if adapted else model.trunk
            trunk.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        head = {
            "weight": model.head.weight.detach(),
            "bias": model.head.bias.detach(),
            "normalisation": self.normalisation,
        }
        save_file({name: tensor.contiguous() for name, tensor in head.items()}, folder / HEAD)

    @classmethod
    def load(cls, folder: Path, four_bits: bool = False) -> "RewardModel":
        """Load what `save` wrote; with `four_bits` frozen, its linear layers so.

        Raises CheckpointError or FourBitsError; a missing head is never initialised anew.
        """
        check_folder(str(folder))
        if not (folder / HEAD).is_file():
            raise CheckpointError(
                f"{folder}: {HEAD} is missing: this is a language model, not a reward model"
            )
        with phase("loading", of=folder):
            trunk = load_weights(AutoModel, folder)
            trunk = to_four_bits(trunk) if four_bits else trunk
        # where the pad token is the end token, the end token's own embedding would get no gradient
        cast(nn.Embedding, trunk.get_input_embeddings()).padding_idx = None
        try:
            head = load_file(folder / HEAD)
            model = cls(trunk, head["weight"].shape[1])
            model.head.load_state_dict({"weight": head["weight"], "bias": head["bias"]})
            model.normalisation.copy_(head["normalisation"])
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                f"{folder}/{HEAD} cannot be read ({first_line(error)}); train the reward model again"
            ) from None
        return devices.place(model.eval())
