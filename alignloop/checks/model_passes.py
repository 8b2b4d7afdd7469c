"""Loads a checkpoint: its embeddings, and whether its family reads padded and cached rows as plain ones."""

from typing import cast

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.checks.findings import Finding, error
from alignloop.core.family_check import check_family, packs
from alignloop.core.models import load_policy, vocabulary_of
from alignloop.errors import AlignloopError

Policy = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def check_model(path: str) -> tuple[Policy | None, list[Finding]]:
    """The loaded policy, unless a stage could not load it either, and what was found."""
    try:
        model, tokenizer = load_policy(path)
    except AlignloopError as fault:
        return None, [error("model", fault)]
    found = [_embeddings(model, tokenizer)]
    try:
        check_family(model, path)
    except AlignloopError as fault:
        return None, [*found, error("family", fault)]
    family = model.config.model_type
    if packs(model):
        found.append(Finding("family", "ok", f"{family}: padded, packed and cached rows are as plain ones"))
    else:
        found.append(
            Finding(
                "family",
                "note",
                f"{family}: packed rows do not suit it; the responses to a prompt are computed apart, which "
                "is exact and slower",
                "nothing",
            )
        )
    return (model, tokenizer), found


def _embeddings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Finding:
    """Rows of the embeddings against the tokenizer; load_policy refuses fewer rows than tokens."""
    rows, tokens = vocabulary_of(model), len(tokenizer)
    reads = cast(nn.Embedding, model.get_input_embeddings()).weight
    tied = cast(nn.Linear, model.get_output_embeddings()).weight is reads
    said = f"{tokens:,} tokens, {rows:,} rows of embeddings, {'tied to' if tied else 'apart from'} the head"
    if rows > tokens:
        said += f"; the {rows - tokens:,} rows without a token are never drawn"
    return Finding("embeddings", "ok", said)
