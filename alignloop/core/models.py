"""The networks: policies are Hugging Face causal language models; a reward model is such a trunk with one scalar head.

Checkpoints are safetensors in Hugging Face's layout. A reward model's folder holds its trunk as `AutoModel` reads it, and
`head.safetensors` with weight (1, width), bias (1) and the normalisation (1). Left out: remote code, pickles, adapters.
"""

import copy
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from alignloop.core.tokens import TokenizerError, check_tokenizer, end_of, pad_of, special_tokens
from alignloop.errors import LFS_POINTER, AlignloopError

HEAD = "head.safetensors"
HELD_OUT = "held_out"  # in a reward model's folder: another one, of rankings that this one did not see


class CheckpointError(AlignloopError):
    """A checkpoint cannot be loaded; the message names the folder, the file and the remedy."""


def new_policy(
    tokenizer: PreTrainedTokenizerBase, layers: int, width: int, heads: int, context: int, seed: int
) -> PreTrainedModel:
    """A Llama with random weights: tied embeddings, no dropout, feed-forward of 8/3 width rounded to 32."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=-(-width * 8 // 3 // 32) * 32,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        pad_token_id=pad_of(tokenizer),
        eos_token_id=end_of(tokenizer),
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):  # the caller's own stream of random numbers stays as it is
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def check_folder(path: str) -> None:
    """Raise CheckpointError if a local checkpoint lacks a file; a hub id is left to the hub."""
    folder = Path(path)
    if not folder.exists():
        if path.startswith((".", "/", "models/")) or path.count("/") != 1:
            raise CheckpointError(
                f"{path}: no such checkpoint folder; run the stage that makes it, or correct the path in params.yaml"
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
                    f"{file}: a Git LFS pointer stands in its place; fetch the file itself with `git lfs pull`"
                )


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """A checkpoint's tokenizer, fit for a dialogue. Raises CheckpointError or TokenizerError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        remedy = (
            "restore tokenizer.json"
            if Path(path).exists()
            else "correct the hub id, or be online when it is fetched the first time"
        )
        raise CheckpointError(
            f"{path}: the tokenizer cannot be read ({_first_line(error)}); {remedy}"
        ) from None
    try:
        check_tokenizer(tokenizer)
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from None
    return tokenizer


def load_policy(path: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A policy and its tokenizer in fp32, dropout off. Raises CheckpointError or TokenizerError."""
    check_folder(str(path))
    if (Path(path) / HEAD).is_file():
        raise CheckpointError(f"{path}: {HEAD} is here: this is a reward model, not a policy")
    tokenizer = load_tokenizer(path)
    model = _pretrained(AutoModelForCausalLM, path).eval()
    rows = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
    if rows < len(tokenizer):
        raise CheckpointError(
            f"{path}: the tokenizer knows {len(tokenizer)} tokens, the model only {rows}; they do not belong together"
        )
    _check_head(model, path)
    return model, tokenizer


def _pretrained(kind: Any, path: str | Path) -> PreTrainedModel:
    """`kind.from_pretrained`, which fills what a file lacks with random numbers and only warns: here that is an error."""
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
            f"{path}: the weights cannot be read ({_first_line(error)}); restore them or take another"
        ) from None
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{path}: the weights lack {len(missing)} tensors of the model, the first is {missing[0]}; restore them"
        )
    return model


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@torch.no_grad()
def _check_head(model: PreTrainedModel, path: str | Path) -> None:
    """Refuse a family that does more than trunk and head, the way logits are made here, and weights that are not numbers."""
    ids = torch.arange(3)[None]
    theirs = model(input_ids=ids).logits[0]
    if not torch.isfinite(theirs).all():
        raise CheckpointError(
            f"{path}: the model's logits are not finite: its weights are broken; restore them"
        )
    ours = logits_at(
        model, ids, torch.ones_like(ids, dtype=torch.bool), torch.ones_like(ids, dtype=torch.bool)
    )
    if getattr(model.config, "final_logit_softcapping", None) or not torch.allclose(
        ours, theirs, rtol=1e-3, atol=1e-5
    ):
        raise CheckpointError(
            f"{path}: this family changes its logits after the head, which is not supported; take another"
        )


def save_policy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a checkpoint that `AutoModelForCausalLM` reads; equal weights give equal bytes."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def vocabulary_of(model: PreTrainedModel) -> int:
    """Rows of the model's output embedding: its tokenizer may know fewer tokens."""
    return cast(nn.Linear, model.get_output_embeddings()).weight.shape[0]


def allowed_tokens(tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> Tensor:
    """Which of the model's tokens (V,) an answer may hold: all but special ones other than the end, and but rows the tokenizer lacks."""
    allowed = torch.ones(vocabulary, dtype=torch.bool)
    allowed[len(tokenizer) :] = False
    allowed[list(special_tokens(tokenizer).values())] = False
    allowed[end_of(tokenizer)] = True
    return allowed


def hidden_states(trunk: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """Last hidden states (B, T, H); positions count only real tokens, so that left padding changes nothing."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return trunk(
        input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False
    ).last_hidden_state


def branched_states(trunk: nn.Module, ids: Tensor, positions: Tensor, sees: Tensor) -> Tensor:
    """Last hidden states (B, T, H) where `sees` (B, T, T) says what each place attends to, and `positions` (B, T) where it stands."""
    hidden = torch.zeros(sees.shape).masked_fill(
        ~sees, torch.finfo(torch.float32).min
    )  # added to scores: every attention kernel reads it
    return trunk(
        input_ids=ids, attention_mask=hidden[:, None], position_ids=positions, use_cache=False
    ).last_hidden_state


def logits_at(model: PreTrainedModel, ids: Tensor, mask: Tensor, places: Tensor) -> Tensor:
    """Next-token logits (N, V) at the N positions where `places` (B, T) is true, row by row: no others are ever made."""
    return logits_of(model, hidden_states(model.base_model, ids, mask)[places])


def logits_of(model: PreTrainedModel, states: Tensor) -> Tensor:
    """Next-token logits (N, V) of last hidden states (N, H)."""
    return cast(nn.Module, model.get_output_embeddings())(states)


class RewardModel(nn.Module):
    """A trunk and a linear head: one scalar for a prompt and a response, read at the response's last token.

    Scores are head − normalisation; the head starts as N(0, 1/√(H+1)) with bias 0 (arXiv 2403.17031, detail 11). The value model of
    PPO is a copy of it, read at every token, or such a head on the policy's own trunk.
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
        return model

    @classmethod
    def on_trunk_of(cls, policy: PreTrainedModel) -> "RewardModel":
        """A head of zeros on the policy's trunk itself, no copy: a value model that costs no memory (arXiv 1909.08593)."""
        model = cls(
            cast(PreTrainedModel, policy.base_model),
            cast(nn.Embedding, policy.get_input_embeddings()).embedding_dim,
        )
        nn.init.zeros_(model.head.weight)
        nn.init.zeros_(model.head.bias)
        return model

    def read(self, states: Tensor) -> Tensor:
        """The scalar (…) of last hidden states (…, H)."""
        return self.head(states).squeeze(-1).float() - self.normalisation

    def per_token(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The scalar at every position (B, T)."""
        return self.read(hidden_states(self.trunk, ids, mask))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The score (B,) at each row's last real token, on whichever side the padding is."""
        last = (mask * torch.arange(mask.shape[1])).argmax(1)
        hidden = hidden_states(self.trunk, ids, mask)[torch.arange(len(ids)), last]
        return self.read(hidden)

    def branches(self, ids: Tensor, positions: Tensor, sees: Tensor, ends: Tensor) -> Tensor:
        """Scores (N,) at the N places where `ends` (B, T) is true, of rows in which several answers branch from one prompt."""
        return self.read(branched_states(self.trunk, ids, positions, sees)[ends])

    def save(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write trunk, tokenizer and head."""
        self.trunk.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        head = {
            "weight": self.head.weight.detach(),
            "bias": self.head.bias.detach(),
            "normalisation": self.normalisation,
        }
        save_file({name: tensor.contiguous() for name, tensor in head.items()}, folder / HEAD)

    @classmethod
    def load(cls, folder: Path) -> "RewardModel":
        """Read what `save` wrote. Raises CheckpointError; a head is never made anew silently."""
        check_folder(str(folder))
        if not (folder / HEAD).is_file():
            raise CheckpointError(
                f"{folder}: {HEAD} is missing: this is a language model, not a reward model"
            )
        trunk = _pretrained(AutoModel, folder)
        try:
            head = load_file(folder / HEAD)
            model = cls(trunk, head["weight"].shape[1])
            model.head.load_state_dict({"weight": head["weight"], "bias": head["bias"]})
            model.normalisation.copy_(head["normalisation"])
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                f"{folder}/{HEAD} cannot be read ({_first_line(error)}); train the reward model again"
            ) from None
        return model.eval()


def context_of(model: PreTrainedModel | str | Path) -> int:
    """The longest row, in tokens, that a model reads."""
    config = (
        model.config
        if isinstance(model, PreTrainedModel)
        else AutoConfig.from_pretrained(str(model), trust_remote_code=False)
    )
    return int(getattr(config, "max_position_embeddings", None) or config.n_positions)
