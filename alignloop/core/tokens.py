"""Text to token ids and back: tokenizer training, the chat template, the loss mask and padding.

Works with any Hugging Face tokenizer that has a chat template and an end-of-sequence token. Left out: tool
calls, images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from alignloop.core.chat_template import (
    ASSISTANT,
    CHAT_TEMPLATE,
    END,
    PAD,
    SPECIAL,
    SYSTEM,
    USER,
    Messages,
    RewrittenTurn,
    TokenizerError,
    escape_special_tokens,
    render,
    response_form,
)
from alignloop.core.template_limits import check_limits


@dataclass(frozen=True)
class Encoded:
    """One row of token ids with its loss mask."""

    ids: list[int]
    mask: list[bool]  # whether the loss is on the token, as a target
    name: str = ""  # what messages call the row


@dataclass(frozen=True)
class TokenRules:
    """Which tokens a response may contain, which one ends it, and which one pads it."""

    allowed: Tensor  # (V,) bool, over the model's vocabulary
    end: int
    pad: int


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer of at most `vocabulary` tokens, with the chat template.

    The same texts give the same bytes.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def check_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise TokenizerError unless there are a chat template that can be used and an end token."""
    if tokenizer.chat_template is None:
        raise TokenizerError("the tokenizer has no chat template; give its folder a chat_template.jinja")
    if tokenizer.eos_token_id is None:
        raise TokenizerError(
            "the tokenizer has no end-of-sequence token; set eos_token in tokenizer_config.json"
        )
    check_limits(tokenizer)
    response_form(tokenizer)


def encode(tokenizer: PreTrainedTokenizerBase, rendered: str) -> list[int]:
    """Token ids of a rendered text, without added special tokens."""
    return tokenizer.encode(rendered, add_special_tokens=False)


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> list[int]:
    """Token ids of a dialogue up to the beginning of the assistant's next turn."""
    return encode(tokenizer, render(tokenizer, messages, add_generation_prompt=True))


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> Encoded:
    """Token ids of a text and the end token, with the loss on all of them."""
    ids = [*encode(tokenizer, escape_special_tokens(tokenizer, text)), end_of(tokenizer)]
    return Encoded(ids, [True] * len(ids))


def encode_response(tokenizer: PreTrainedTokenizerBase, response: str, ended: bool = True) -> list[int]:
    """Token ids of a response as the policy would have drawn it, with the end token if it ended."""
    form = response_form(tokenizer)
    ids = encode(tokenizer, form.text(escape_special_tokens(tokenizer, response), ended))
    return [*ids, form.end] if ended else ids


def encode_dialogue(tokenizer: PreTrainedTokenizerBase, messages: Messages, turns: str = "last") -> Encoded:
    """Token ids of a dialogue, with the loss on the assistant's turns, "all" or the "last".

    Each turn is encoded separately, after the text before it, so that training and decoding see the same ids.
    Where the template writes earlier turns in another form, the last turn follows them in that form.
    """
    ids: list[int] = []
    mask: list[bool] = []
    places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    form, before = response_form(tokenizer), ""
    for place in places:
        opened = render(tokenizer, messages[:place], add_generation_prompt=True)
        if not opened.startswith(before):
            if turns == "all":
                raise RewrittenTurn(
                    "the chat template rewrites earlier responses (thoughts are left out, say), so that they "
                    "cannot be learned in one row with the last one; set sft.assistant_turns to last"
                )
            ids, mask = [], []
            before = ""
        content = messages[place]["content"]
        context = encode(tokenizer, opened[len(before) :])
        response = encode_response(tokenizer, content)
        on = turns == "all" or place == places[-1]
        ids += context + response
        mask += [False] * len(context) + [on] * len(response)
        before = opened + form.text(escape_special_tokens(tokenizer, content)) + form.end_text
    if not places or places[-1] != len(messages) - 1:  # the last turn is the user's
        text = render(tokenizer, messages, add_generation_prompt=False)
        if not text.startswith(before):
            raise RewrittenTurn(
                "the chat template rewrites the last response once another turn follows it; leave out the "
                "turns after it"
            )
        rest = encode(tokenizer, text[len(before) :])
        ids, mask = ids + rest, mask + [False] * len(rest)
    return Encoded(ids, mask)


def end_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the token that ends a response: what the chat template ends an assistant's turn with."""
    return response_form(tokenizer).end


def pad_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills rows up; any will do, because masks say which tokens are real."""
    pad = tokenizer.pad_token_id
    return pad if isinstance(pad, int) else end_of(tokenizer)


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of a response without special tokens and without surrounding white space."""
    end = end_of(tokenizer)  # not marked as special in every checkpoint
    return str(tokenizer.decode([index for index in ids if index != end], skip_special_tokens=True)).strip()


def pad_left(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows of different lengths as ids (B, T) and mask (B, T), padded on the left."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in rows])
    return ids, mask


def pad_right(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows of different lengths as ids (B, T) and mask (B, T), padded on the right."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [pad] * (width - len(row)) for row in rows])
    mask = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows])
    return ids, mask
