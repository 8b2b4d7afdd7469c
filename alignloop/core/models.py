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

from alignloop.core import devices, parallel_passes
from alignloop.core.chat_template import special_tokens
from alignloop.core.checkpoint_folder import (
    CheckpointError,
    check_folder,
    check_kind,
    load_tokenizer,
    load_weights,
)
from alignloop.core.four_bits import to_four_bits
from alignloop.core.model_shape import CONTEXT, feed_forward
from alignloop.core.tokens import TokenRules, end_of, pad_of
from alignloop.phases import phase

HEAD = "head.safetensors"  # present in the folder of a reward model only


def new_policy(
    tokenizer: PreTrainedTokenizerBase, layers: int, width: int, heads: int, context: int, seed: int
) -> PreTrainedModel:
    """A Llama with random weights: tied embeddings, no dropout, feed-forward width 8/3 · `width`."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=feed_forward(width),
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
        return devices.place(LlamaForCausalLM(config))


def load_policy(path: str | Path, four_bits: bool = False) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A policy in fp32 with dropout off, and its tokenizer; with `four_bits` frozen, its linear layers so.

    Raises CheckpointError, TokenizerError or FourBitsError.
    """
    check_folder(str(path))
    if (Path(path) / HEAD).is_file():
        raise CheckpointError(f"{path}: {HEAD} is here: this is a reward model, not a policy")
    check_kind(str(path))
    with phase("loading", of=path):
        return _load_policy(path, four_bits)


def _load_policy(path: str | Path, four_bits: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = load_tokenizer(path)
    model = load_weights(AutoModelForCausalLM, path).eval()
    model = devices.place(to_four_bits(model) if four_bits else model)
    embedding = cast(nn.Embedding, model.get_input_embeddings())
    check_rows(model, tokenizer, path)
    if embedding.padding_idx == end_of(tokenizer):
        embedding.padding_idx = None  # else the end token's own embedding would get no gradient
    context_of(model)
    _check_logits(model, path)
    return model, tokenizer


def check_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: str | Path) -> None:
    """Raise CheckpointError if the model has no embedding for a token of the tokenizer."""
    rows = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
    if rows < len(tokenizer):
        raise CheckpointError(f"{path}: {_beyond(tokenizer, rows)}")


def _beyond(tokenizer: PreTrainedTokenizerBase, rows: int) -> str:
    """Which tokens the model has no row for, and what helps."""
    names = [str(name) for name in tokenizer.convert_ids_to_tokens(list(range(rows, len(tokenizer))))]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    fault = (
        f"the tokenizer has {len(tokenizer)} tokens, the model only {rows}: it has no row for "
        f"{', '.join(names[:5])}{more}"
    )
    if names == [tokenizer.pad_token]:
        return f"{fault}; remove pad_token from tokenizer_config.json: none is needed"
    return (
        f"{fault}; add rows with model.resize_token_embeddings({len(tokenizer)}), or take its own tokenizer"
    )


@torch.no_grad()
def _check_logits(model: PreTrainedModel, path: str | Path) -> None:
    """Raise CheckpointError if logits are not finite, or are not what `logits_at` computes."""
    ids = torch.arange(3)[None]
    theirs = model(input_ids=ids.to(devices.of(model))).logits[0]
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
    """Write a checkpoint that `AutoModelForCausalLM` reads; equal weights give equal bytes.

    Of several processes every one asks, and rank 0 writes.
    """
    model = devices.whole_copy(model)
    if not parallel_passes.is_writer():
        return
    generation, end = model.generation_config, end_of(tokenizer)
    known = getattr(generation, "eos_token_id", None)
    ends = known if isinstance(known, list) else [known]
    if generation is not None and end not in ends:  # so that whoever loads it stops where responses end
        generation.eos_token_id = [end, *(token for token in ends if token is not None)]
    with phase("saving the policy"):
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
    """Last hidden states (B, T, H), on the device of the trunk.

    Positions count real tokens only: left padding changes nothing.
    """
    return _states(trunk, ids, mask.long(), (mask.cumsum(1) - 1).clamp(min=0))


def branched_states(trunk: nn.Module, ids: Tensor, positions: Tensor, attention: Tensor) -> Tensor:
    """Last hidden states (B, T, H) of packed rows, with positions (B, T) and an attention mask (B, T, T)."""
    # the mask is added to attention scores: every attention kernel supports that form
    hidden = torch.zeros(attention.shape).masked_fill(~attention, torch.finfo(torch.float32).min)
    return _states(trunk, ids, hidden[:, None], positions)


def _states(trunk: nn.Module, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
    device = devices.of(trunk)
    return devices.read(
        trunk,
        lambda: (
            trunk(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                position_ids=positions.to(device),
                use_cache=False,
            ).last_hidden_state
        ),
    )


def logits_at(model: PreTrainedModel, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
    """Next-token logits (N, V) at the N places where `positions` (B, T) is true, row by row."""
    return logits_of(model, hidden_states(model.base_model, ids, mask)[positions])


def logits_of(model: PreTrainedModel, states: Tensor) -> Tensor:
    """Next-token logits (N, V) of last hidden states (N, H)."""
    head = cast(nn.Module, model.get_output_embeddings())
    return devices.read(head, lambda: head(states))


def context_of(model: PreTrainedModel | str | Path) -> int:
    """The context length of a model in tokens. Raises CheckpointError where its config has none."""
    if isinstance(model, PreTrainedModel):
        config, place = model.config, model.config.name_or_path or "the model"
    else:
        config, place = AutoConfig.from_pretrained(str(model), trust_remote_code=False), model
    for part in (config, config.get_text_config()):
        for key in CONTEXT:
            length = getattr(part, key, None)
            if isinstance(length, int) and length > 0:
                return length
    raise CheckpointError(
        f"{place}: config.json has no context length; add the number of tokens that the model was trained "
        f'on, as "max_position_embeddings": 2048 say'
    )
