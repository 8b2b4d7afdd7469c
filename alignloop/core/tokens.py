"""Text to token ids and back: tokenizer training, the chat template, the loss mask and padding.

Works with any Hugging Face tokenizer that has a chat template and an end-of-sequence token. Left out: tool
calls, images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jinja2.exceptions import TemplateError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from alignloop.errors import AlignloopError

PAD, END = "<|pad|>", "<|end|>"
SYSTEM = "<|system|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
SPECIAL = (PAD, END, SYSTEM, USER, ASSISTANT)  # their ids are 0 to 4
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
Messages = Sequence[Mapping[str, str]]


class TokenizerError(AlignloopError):
    """The tokenizer cannot encode a dialogue; the message names what is missing."""


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
    """Raise TokenizerError unless there are a chat template, an end token and a separate pad token."""
    if tokenizer.chat_template is None:
        raise TokenizerError("the tokenizer has no chat template; give its folder a chat_template.jinja")
    if tokenizer.eos_token_id is None:
        raise TokenizerError(
            "the tokenizer has no end-of-sequence token; set eos_token in tokenizer_config.json"
        )
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise TokenizerError(
            "the tokenizer needs a pad token of its own, other than its end token; "
            "set pad_token in tokenizer_config.json"
        )


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """All special tokens and their ids: the named ones, and those that a checkpoint only marks as special."""
    return _special_tokens(tokenizer, len(tokenizer))


@lru_cache(maxsize=4)
def _special_tokens(tokenizer: PreTrainedTokenizerBase, tokens: int) -> dict[str, int]:
    """Cached, as the query takes as long as encoding a sentence; `tokens` changes with added tokens."""
    marked = {
        token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    return marked | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))


def escape_special_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """`text` with a space inside each special token, so that no text can open or close a turn."""
    for token in special_tokens(tokenizer):
        if token in text:
            text = text.replace(token, token[0] + " " + token[1:])
    return text


def render(tokenizer: PreTrainedTokenizerBase, messages: Messages, add_generation_prompt: bool) -> str:
    """The dialogue as text by the chat template; `add_generation_prompt` opens the assistant's next turn."""
    clean = [
        {"role": message["role"], "content": escape_special_tokens(tokenizer, message["content"])}
        for message in messages
    ]
    if tokenizer.chat_template == CHAT_TEMPLATE:  # the same by hand: rendering by jinja takes 20 times longer
        turns = "".join(f"<|{message['role']}|>{message['content']}{END}" for message in clean)
        return turns + ASSISTANT if add_generation_prompt else turns
    try:
        return str(
            tokenizer.apply_chat_template(clean, tokenize=False, add_generation_prompt=add_generation_prompt)
        )
    except (TemplateError, ValueError) as error:  # no template, or one that refuses these roles
        raise TokenizerError(
            f"the chat template cannot render a dialogue of {', '.join(m['role'] for m in messages)}: {error}"
        ) from None


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
    ids = encode(tokenizer, escape_special_tokens(tokenizer, response))
    return [*ids, end_of(tokenizer)] if ended else ids


def encode_dialogue(tokenizer: PreTrainedTokenizerBase, messages: Messages, turns: str = "last") -> Encoded:
    """Token ids of a dialogue, with the loss on the assistant's turns, "all" or the "last".

    Each turn is encoded separately, after the text before it, so that training and decoding see the same ids.
    """
    ids: list[int] = []
    mask: list[bool] = []
    places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    before = ""
    for place in places:
        opened = render(tokenizer, messages[:place], add_generation_prompt=True)
        if not opened.startswith(before):
            raise TokenizerError(
                f"the chat template does not close a response with {tokenizer.eos_token}, or rewrites it: "
                "use another template"
            )
        content = messages[place]["content"]
        context = encode(tokenizer, opened[len(before) :])
        response = encode_response(tokenizer, content)
        on = turns == "all" or place == places[-1]
        ids += context + response
        mask += [False] * len(context) + [on] * len(response)
        before = opened + escape_special_tokens(tokenizer, content) + str(tokenizer.eos_token)
    if not places or places[-1] != len(messages) - 1:  # the last turn is the user's
        rest = encode(tokenizer, render(tokenizer, messages, add_generation_prompt=False)[len(before) :])
        ids, mask = ids + rest, mask + [False] * len(rest)
    return Encoded(ids, mask)


def end_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the token that ends a response."""
    return _id(tokenizer.eos_token_id)


def pad_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the token that pads rows."""
    return _id(tokenizer.pad_token_id)


def _id(token: object) -> int:
    if not isinstance(token, int):
        raise TokenizerError(
            f"a special token's id is {token!r} instead of one number; call check_tokenizer first"
        )
    return token


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of a response without special tokens and without surrounding white space."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


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
