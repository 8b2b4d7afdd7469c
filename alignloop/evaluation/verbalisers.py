"""Zero- and few-shot classification by a language model: a template, and words that stand for classes.

The model reads the template up to its `{label}`; a class is as probable as its words are there, on average
over its words (arXiv 2001.07676). Contextual calibration divides by what the model says of content-free
inputs (arXiv 2102.09690): a model that prefers a word whatever it reads gains nothing by that.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.chat_template import escape_special_tokens
from alignloop.core.logprobs import response_logprobs
from alignloop.core.models import context_of, vocabulary_of
from alignloop.core.tokens import TokenRules, encode, encode_prompt, encode_response, end_of, pad_of
from alignloop.errors import AlignloopError

LABEL = "{label}"
FIELD = re.compile(r"\{(\w+)\}")
CONTENT_FREE = ("N/A", "[MASK]", "")
BETWEEN = "\n\n"  # demonstrations


class PromptingError(AlignloopError):
    """A template, its words or an item cannot be used; the message names it."""


@dataclass(frozen=True)
class Template:
    """A text with fields in braces, `{label}` at its end; `demonstrations` stand filled before it."""

    text: str
    demonstrations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.text.count(LABEL) != 1 or not self.text.endswith(LABEL):
            raise PromptingError(f"template {self.text!r}: must end with {LABEL}, which stands there once")
        if not self.fields:
            raise PromptingError(f"template {self.text!r}: names no field such as {{text}} before {LABEL}")

    @property
    def fields(self) -> list[str]:
        """The names of the fields but for the label."""
        return list(dict.fromkeys(FIELD.findall(self.text.removesuffix(LABEL))))

    def filled(self, item: Mapping[str, str]) -> str:
        """The text up to the label, with the demonstrations before it."""
        own = FIELD.sub(lambda match: item[match[1]], self.text.removesuffix(LABEL))
        return BETWEEN.join([*self.demonstrations, own])

    def with_shots(self, items: Sequence[tuple[Mapping[str, str], str]]) -> "Template":
        """The template after items with the words of their classes, as demonstrations."""
        plain = Template(self.text)
        return Template(self.text, tuple(f"{plain.filled(item)}{word}" for item, word in items))


@dataclass(frozen=True)
class Verbalisers:
    """The words of each class, by the class's name in the data; the first stands in demonstrations."""

    words: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        every = [word for words in self.words.values() for word in words]
        if len(self.words) < 2:
            raise PromptingError(f"{len(self.words)} class: two at least are needed, such as yes=Yes no=No")
        if any(not words or not all(map(str.strip, words)) for words in self.words.values()):
            raise PromptingError(f"{dict(self.words)}: a class has an empty word; write CLASS=WORD,WORD")
        if twice := [word for word in every if every.count(word) > 1]:
            raise PromptingError(f"the word {twice[0]!r} stands for two classes, or twice for one")

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in their order."""
        return list(self.words)


def class_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    verbalisers: Verbalisers,
    *,
    chat: bool = False,
) -> Tensor:
    """The probability (N, C) of each class after each prompt; rows sum to 1.

    With `chat` a prompt is the user's turn and the word begins the response. Otherwise the word continues the
    text: white space at the prompt's end goes to the word, as tokenizers have it. Raises PromptingError for
    prompts that do not fit into the context.
    """
    owners = [place for place, words in enumerate(verbalisers.words.values()) for _ in words]
    said = [word for words in verbalisers.words.values() for word in words]
    split = _chat_rows if chat else _text_rows
    rows = [row for prompt in prompts for row in split(tokenizer, prompt, said)]
    context = context_of(model)
    for number, (before, word) in enumerate(rows):
        if len(before) + len(word) > context:
            raise PromptingError(
                f"item {number // len(said) + 1}: {len(before) + len(word):,} tokens with its demonstrations "
                f"exceed the context of {context:,}; take fewer shots, or leave it out"
            )
    every = torch.ones(vocabulary_of(model), dtype=torch.bool)
    rules = TokenRules(every, end_of(tokenizer), pad_of(tokenizer))
    found = response_logprobs(model, [before for before, _ in rows], [word for _, word in rows], rules, 1.0)
    logprobs = found.double().view(len(prompts), len(said))
    of_class = [torch.tensor(owners) == place for place in range(len(verbalisers.classes))]
    classes = [torch.logsumexp(logprobs[:, own], 1) - own.sum().log() for own in of_class]
    return torch.stack(classes, 1).softmax(1)


def calibrated(probabilities: Tensor, content_free: Tensor) -> Tensor:
    """Probabilities (N, C) divided by the mean of those of content-free inputs (M, C); rows sum to 1."""
    return torch.nn.functional.normalize(probabilities / content_free.mean(0), p=1, dim=1)


def content_free_items(fields: Sequence[str]) -> list[dict[str, str]]:
    """Items that say nothing, for calibration."""
    return [dict.fromkeys(fields, text) for text in CONTENT_FREE]


def _chat_rows(
    tokenizer: PreTrainedTokenizerBase, prompt: str, words: Sequence[str]
) -> list[tuple[list[int], list[int]]]:
    before = encode_prompt(tokenizer, [{"role": "user", "content": prompt.rstrip()}])
    return [(before, encode_response(tokenizer, word.strip(), ended=False)) for word in words]


def _text_rows(
    tokenizer: PreTrainedTokenizerBase, prompt: str, words: Sequence[str]
) -> list[tuple[list[int], list[int]]]:
    """The tokens that a prompt has in common with its continuations, and those of each word after them."""
    start = tokenizer.encode("", add_special_tokens=True)
    first = start if start == [tokenizer.bos_token_id] else []
    texts = [
        escape_special_tokens(tokenizer, text) for text in (prompt.rstrip(), *(prompt + w for w in words))
    ]
    stripped, *whole = [first + encode(tokenizer, text) for text in texts]
    columns = zip(stripped, *whole, strict=False)
    shared = sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, columns))
    if not shared:
        raise PromptingError(f"the prompt {prompt[:60]!r}: no token stands before the label")
    return [(ids[:shared], ids[shared:]) for ids in whole]
