"""What a model family can do, measured on the model: padded, packed and cached rows against plain ones.

A family may drop a sliding window, count positions or carry a state across rows where the attention mask is
not the usual one, without an error. Windows are shortened for the comparison, so that a short row is longer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from alignloop.core import devices
from alignloop.core.checkpoint_folder import CheckpointError, first_line
from alignloop.core.models import branched_states, context_of, hidden_states, logits_at
from alignloop.core.packing import pack, packed_attention
from alignloop.phases import phase

WINDOWS = ("sliding_window", "attention_window_size", "attention_chunk_size", "local_attention_window")
FIXED_WINDOWS = ("window_size",)  # built into the layers: only a longer row tells
SHORT = 8  # tokens in a shortened window
PROMPT, RESPONSES = 18, (14, 12)  # tokens of the rows that are compared; fewer where the context is short
TOLERANCE = 1e-3  # of the largest hidden state or logit; rounding is a thousandth of it


def packs(model: PreTrainedModel) -> bool:
    """Whether packed rows have the hidden states of separate ones: of branches, and of independent rows."""
    trunk = cast(nn.Module, model.base_model)
    with phase("checking the model family"), _shortened(model), torch.no_grad():
        prompt, responses = _tokens(model)
        apart = [_plain(trunk, prompt + response) for response in responses]
        wanted = torch.cat([states[len(prompt) :] for states in apart])
        try:
            branches = _packed(trunk, [prompt, *responses])[len(prompt) :]
            alone = _packed(trunk, [[], *(prompt + response for response in responses)])
        except Exception:  # a family that takes no such mask fails in its own way
            return False
    return _close(branches, wanted) and _close(alone, torch.cat(apart))


def check_family(model: PreTrainedModel, path: object) -> None:
    """Raise CheckpointError unless padded and cached rows have the logits of plain ones."""
    with phase("checking the model family"), _shortened(model), torch.no_grad():
        prompt, responses = _tokens(model)
        try:
            fault = _fault(model, prompt, responses[0])
        except Exception as error:  # a family without these inputs fails in its own way
            fault = f"fails on padded rows ({first_line(error)})"
    if fault:
        raise CheckpointError(
            f"{path}: this model family ({model.config.model_type}) {fault}; scores and PPO would be wrong: "
            "use another family"
        )


def _fault(model: PreTrainedModel, prompt: list[int], response: list[int]) -> str:
    """What is not as in plain rows, or nothing."""
    trunk = cast(nn.Module, model.base_model)
    row = prompt + response
    plain = _plain(trunk, row)
    if not _close(_plain(trunk, prompt), plain[: len(prompt)]):
        return "reads what follows a token: it is an encoder, no causal language model"
    ids = torch.tensor([row, row[:SHORT] + [0] * (len(row) - SHORT)])
    mask = torch.arange(len(row)) < torch.tensor([[len(row)], [SHORT]])
    padded = hidden_states(trunk, ids, mask)
    if not (_close(padded[0], plain) and _close(padded[1, :SHORT], plain[:SHORT])):
        return "computes other states where rows are padded on the right"
    flipped = hidden_states(trunk, ids.roll(len(row) - SHORT, 1)[1:], mask.flip(1)[1:])
    if not _close(flipped[0, -SHORT:], plain[:SHORT]):
        return "computes other states where rows are padded on the left"
    cached = _cached_logits(model, prompt, response)
    everywhere = torch.ones(1, len(row), dtype=torch.bool)
    wanted = logits_at(model, torch.tensor([row]), everywhere, everywhere)[len(prompt) - 1 : -1]
    if not _close(cached, wanted):
        return "computes other logits when it generates with a cache"
    return ""


def _cached_logits(model: PreTrainedModel, prompt: list[int], response: list[int]) -> Tensor:
    """The logits (R, V) of a response's tokens, token by token, after a prompt that is padded on the left."""
    device = devices.of(model)
    ids = torch.tensor([[0, 0, *prompt], [*prompt, *prompt[:2]]], device=device)
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    found = []
    for token in response:
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        found.append(output.logits[0, -1])
        ids = torch.full((2, 1), token, device=device)
        mask = torch.cat([mask, mask.new_ones(2, 1)], dim=1)
        positions = positions[:, -1:] + 1
    return torch.stack(found)


def _plain(trunk: nn.Module, row: list[int]) -> Tensor:
    """Hidden states (T, H) of a row by itself."""
    ids = torch.tensor([row])
    return hidden_states(trunk, ids, torch.ones_like(ids, dtype=torch.bool))[0]


def _packed(trunk: nn.Module, group: list[list[int]]) -> Tensor:
    """Hidden states (T, H) of a packed row."""
    ids, positions, segments = pack([group], 0)
    return branched_states(trunk, ids, positions, packed_attention(segments))[0]


def _close(found: Tensor, wanted: Tensor) -> bool:
    return bool((found - wanted).abs().max() <= TOLERANCE * wanted.abs().max())


def _tokens(model: PreTrainedModel) -> tuple[list[int], list[list[int]]]:
    """A prompt and two responses, always the same; longer than any window, as far as the context allows."""
    fixed = [int(getattr(model.config, name, 0) or 0) for name in FIXED_WINDOWS]
    prompt = PROMPT + max(fixed)
    room = context_of(model)
    if room < prompt + max(RESPONSES):
        prompt = room // 2
    drawn = torch.Generator().manual_seed(0)
    vocabulary = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
    lengths = [min(length, room - prompt) for length in RESPONSES]
    rows = [torch.randint(vocabulary, (length,), generator=drawn).tolist() for length in (prompt, *lengths)]
    return rows[0], rows[1:]


@contextmanager
def _shortened(model: PreTrainedModel) -> Iterator[None]:
    """Make every window that can be shorter than a row of this model a short one inside the block."""
    config = model.config.get_text_config()
    room = context_of(model)
    before: list[tuple[object, str, int]] = []
    for owner in {id(each): each for each in (model.config, config, *model.modules())}.values():
        for name in WINDOWS:
            window = getattr(owner, name, None)
            if isinstance(window, int) and SHORT < window < room:
                before.append((owner, name, window))
    training = model.training
    model.eval()
    try:
        for owner, name, _ in before:
            setattr(owner, name, SHORT)
        yield
    finally:
        for owner, name, window in before:
            setattr(owner, name, window)
        model.train(training)
