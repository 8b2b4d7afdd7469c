"""Text to token ids and back: the tokenizer made here, the chat template, and which tokens a loss is on.

Works with any Hugging Face tokenizer that has a chat template and an end-of-sequence token; left out: tool calls, images.
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

PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL = (PAD, END, SYSTEM, USER, ASSISTANT)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] + '<|end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
Messages = Sequence[Mapping[str, str]]


class TokenizerError(AlignloopError):
    """The tokenizer cannot serve a dialogue; the message says what it lacks."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of one row, and for each whether the loss is on it (as a target); and what the row is called in messages."""

    ids: list[int]
    mask: list[bool]
    name: str = ""


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of at most `vocabulary` tokens, with the chat template; the same texts give the same bytes."""
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
    """Raise TokenizerError unless the tokenizer can open, close and pad a dialogue."""
    if tokenizer.chat_template is None:
        raise TokenizerError("the tokenizer has no chat template; give its folder a chat_template.jinja")
    if tokenizer.eos_token_id is None:
        raise TokenizerError(
            "the tokenizer has no end-of-sequence token; set eos_token in tokenizer_config.json"
        )
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise TokenizerError(
            "the tokenizer needs a pad token of its own, other than its end token; set pad_token in tokenizer_config.json"
        )


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Every token that steers instead of spelling text: the named ones, and those that a checkpoint only marks as special."""
    return _special_tokens(tokenizer, len(tokenizer))


@lru_cache(maxsize=4)
def _special_tokens(tokenizer: PreTrainedTokenizerBase, tokens: int) -> dict[str, int]:
    """Asking a tokenizer costs as much as encoding a sentence; `tokens` tells when it has got others."""
    marked = {
        token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    return marked | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))


def plain(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """`text` in which no special token can be read: a space parts each one that stands there, so nobody writes another's turn."""
    for token in special_tokens(tokenizer):
        if token in text:
            text = text.replace(token, token[0] + " " + token[1:])
    return text


def render(tokenizer: PreTrainedTokenizerBase, messages: Messages, answer_next: bool) -> str:
    """The dialogue as the model reads it; `answer_next` opens the assistant's next turn."""
    if (
        tokenizer.chat_template == CHAT_TEMPLATE
    ):  # the template above in two lines: rendering it by jinja costs 20 times more
        turns = "".join(
            f"<|{message['role']}|>{plain(tokenizer, message['content'])}{END}" for message in messages
        )
        return turns + ASSISTANT if answer_next else turns
    clean = [
        {"role": message["role"], "content": plain(tokenizer, message["content"])} for message in messages
    ]
    try:
        return str(tokenizer.apply_chat_template(clean, tokenize=False, add_generation_prompt=answer_next))
    except (TemplateError, ValueError) as error:  # no template, or one that refuses these roles
        raise TokenizerError(
            f"the chat template cannot render a dialogue of {', '.join(m['role'] for m in messages)}: {error}"
        ) from None


def encode(tokenizer: PreTrainedTokenizerBase, rendered: str) -> list[int]:
    """Ids of a rendered text, nothing added."""
    return tokenizer.encode(rendered, add_special_tokens=False)


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> list[int]:
    """Ids of a conversation up to where the assistant begins to speak."""
    return encode(tokenizer, render(tokenizer, messages, answer_next=True))


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> Encoded:
    """Ids of plain text and the end token; the loss is on all of it."""
    ids = [*encode(tokenizer, plain(tokenizer, text)), end_of(tokenizer)]
    return Encoded(ids, [True] * len(ids))


def encode_response(tokenizer: PreTrainedTokenizerBase, response: str, ended: bool = True) -> list[int]:
    """Ids of one answer as the policy would have drawn it, closed by the end token if it ended."""
    ids = encode(tokenizer, plain(tokenizer, response))
    return [*ids, end_of(tokenizer)] if ended else ids


def encode_dialogue(tokenizer: PreTrainedTokenizerBase, messages: Messages, turns: str = "last") -> Encoded:
    """Ids of a dialogue; the loss is on the tokens that the assistant spoke (`turns`: "all" or "last"), end token included.

    Each turn is encoded by itself after what came before it, so that training and decoding see the same ids.
    """
    ids: list[int] = []
    mask: list[bool] = []
    spoken = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    before = ""
    for place in spoken:
        opened = render(tokenizer, messages[:place], answer_next=True)
        if not opened.startswith(before):
            raise TokenizerError(
                f"the chat template does not close an answer with {tokenizer.eos_token}, or rewrites it: take another"
            )
        context = encode(tokenizer, opened[len(before) :])
        answer = encode_response(tokenizer, messages[place]["content"])
        wanted = turns == "all" or place == spoken[-1]
        ids += context + answer
        mask += [False] * len(context) + [wanted] * len(answer)
        before = opened + plain(tokenizer, messages[place]["content"]) + str(tokenizer.eos_token)
    if not spoken or spoken[-1] != len(messages) - 1:  # the user has the last word
        rest = encode(tokenizer, render(tokenizer, messages, answer_next=False)[len(before) :])
        ids, mask = ids + rest, mask + [False] * len(rest)
    return Encoded(ids, mask)


def end_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that closes an answer."""
    return _id(tokenizer.eos_token_id)


def pad_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills rows up."""
    return _id(tokenizer.pad_token_id)


def _id(token: object) -> int:
    if not isinstance(token, int):
        raise TokenizerError(
            f"a special token's id is {token!r} instead of one number; call check_tokenizer first"
        )
    return token


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of an answer, without its end token and without outer white space."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def pad_left(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows of different lengths as ids (B, T) and mask (B, T), the padding in front."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in rows])
    return ids, mask


def pad_right(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows of different lengths as ids (B, T) and mask (B, T), the padding behind."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [pad] * (width - len(row)) for row in rows])
    mask = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows])
    return ids, mask
