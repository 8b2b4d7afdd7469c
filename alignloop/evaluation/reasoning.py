"""What a model writes before it is asked for a label: the {reasoning} of a template (chain of thought)."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.chat_template import escape_special_tokens
from alignloop.core.generate import sample
from alignloop.core.models import context_of, token_rules
from alignloop.core.tokens import decode, encode, encode_prompt
from alignloop.evaluation.verbalisers import BETWEEN, PromptingError, first_tokens


def write_reasonings(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    openings: Sequence[str],
    *,
    chat: bool,
    temperature: float,
    max_new_tokens: int,
    batch: int,
    seeds: Sequence[int],
) -> list[str]:
    """The texts that follow the openings, at most `max_new_tokens` long, drawn from a seed for each.

    With `chat` an opening is the user's turn; otherwise the text continues it, up to an empty line. Raises
    PromptingError for an opening that leaves no room.
    """
    rows = [_row(tokenizer, opening.rstrip(), chat) for opening in openings]
    context = context_of(model)
    for number, row in enumerate(rows, 1):
        if len(row) + max_new_tokens > context:
            raise PromptingError(
                f"item {number}: {len(row):,} tokens leave no room for a reasoning of {max_new_tokens:,} in "
                f"the context of {context:,}; take fewer shots, or lower --max-new-tokens"
            )
    drawn = sample(
        model,
        rows,
        token_rules(tokenizer, model),
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        generator=torch.Generator(),
        batch=batch,
        seeds=seeds,
    )
    return [decode(tokenizer, ids).split(BETWEEN)[0].strip() for ids in drawn.ids]


def _row(tokenizer: PreTrainedTokenizerBase, opening: str, chat: bool) -> list[int]:
    if chat:
        return encode_prompt(tokenizer, [{"role": "user", "content": opening}])
    return first_tokens(tokenizer) + encode(tokenizer, escape_special_tokens(tokenizer, opening))
