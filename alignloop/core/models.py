"""Policies (Hugging Face causal language models): construction, loading, hidden states and logits."""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from alignloop.core.checkpoint_folder import CheckpointError, check_folder, load_tokenizer, load_weights
from alignloop.core.tokens import TokenRules, end_of, pad_of, special_tokens

HEAD = "head.safetensors"  # present in the folder of a reward model only


def new_policy(
    tokenizer: PreTrainedTokenizerBase, layers: int, width: int, heads: int, context: int, seed: int
) -> PreTrainedModel:
    """A Llama with random weights: tied embeddings, no dropout, feed-forward width 8/3 · `width`."""
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
    with torch.random.fork_rng(devices=[]):  # leaves the caller's random number stream unchanged
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def load_policy(path: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A policy in fp32 with dropout off, and its tokenizer. Raises CheckpointError or TokenizerError."""
    check_folder(str(path))
    if (Path(path) / HEAD).is_file():
        raise CheckpointError(f"{path}: {HEAD} is here: this is a reward model, not a policy")
    tokenizer = load_tokenizer(path)
    model = load_weights(AutoModelForCausalLM, path).eval()
    rows = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
    if rows < len(tokenizer):
        raise CheckpointError(
            f"{path}: the tokenizer has {len(tokenizer)} tokens, the model only {rows}; they do not belong "
            "together"
        )
    _check_logits(model, path)
    return model, tokenizer


@torch.no_grad()
def _check_logits(model: PreTrainedModel, path: str | Path) -> None:
    """Raise CheckpointError if logits are not finite, or are not what `logits_at` computes."""
    ids = torch.arange(3)[None]
    theirs = model(input_ids=ids).logits[0]
    if not torch.isfinite(theirs).all():
        raise CheckpointError(
            f"{path}: the model's logits are not finite: its weights are broken; restore them"
        )
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    ours = logits_at(model, ids, everywhere, everywhere)
    if getattr(model.config, "final_logit_softcapping", None) or not torch.allclose(
        ours, theirs, rtol=1e-3, atol=1e-5
    ):
        raise CheckpointError(
            f"{path}: this model family changes its logits after the head, which is not supported; use "
            "another"
        )


def save_policy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a checkpoint that `AutoModelForCausalLM` reads; equal weights give equal bytes."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def vocabulary_of(model: PreTrainedModel) -> int:
    """The rows of the model's output embedding; its tokenizer may have fewer tokens."""
    return cast(nn.Linear, model.get_output_embeddings()).weight.shape[0]


def allowed_tokens(tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> Tensor:
    """The tokens (V,) that a response may contain.

    These are all tokens of the tokenizer except for special ones other than the end token.
    """
    allowed = torch.ones(vocabulary, dtype=torch.bool)
    allowed[len(tokenizer) :] = False
    allowed[list(special_tokens(tokenizer).values())] = False
    allowed[end_of(tokenizer)] = True
    return allowed


def token_rules(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> TokenRules:
    """The token rules of responses in the vocabulary of `model`."""
    allowed = allowed_tokens(tokenizer, vocabulary_of(model))
    return TokenRules(allowed, end_of(tokenizer), pad_of(tokenizer))


def hidden_states(trunk: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """Last hidden states (B, T, H); positions count real tokens only: left padding changes nothing."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return trunk(
        input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False
    ).last_hidden_state


def branched_states(trunk: nn.Module, ids: Tensor, positions: Tensor, attention: Tensor) -> Tensor:
    """Last hidden states (B, T, H) of packed rows, with positions (B, T) and an attention mask (B, T, T)."""
    # the mask is added to attention scores: every attention kernel supports that form
    hidden = torch.zeros(attention.shape).masked_fill(~attention, torch.finfo(torch.float32).min)
    return trunk(
        input_ids=ids, attention_mask=hidden[:, None], position_ids=positions, use_cache=False
    ).last_hidden_state


def logits_at(model: PreTrainedModel, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
    """Next-token logits (N, V) at the N places where `positions` (B, T) is true, row by row."""
    return logits_of(model, hidden_states(model.base_model, ids, mask)[positions])


def logits_of(model: PreTrainedModel, states: Tensor) -> Tensor:
    """Next-token logits (N, V) of last hidden states (N, H)."""
    return cast(nn.Module, model.get_output_embeddings())(states)


def context_of(model: PreTrainedModel | str | Path) -> int:
    """The context length of a model in tokens."""
    config = (
        model.config
        if isinstance(model, PreTrainedModel)
        else AutoConfig.from_pretrained(str(model), trust_remote_code=False)
    )
    return int(getattr(config, "max_position_embeddings", None) or config.n_positions)
