"""Zero- and few-shot classification by a language model: a template, and words that stand for classes.

The model reads the template up to its `{label}`; a class is as probable as its words are there, on average
over its words (arXiv 2001.07676). Contextual calibration divides by what the model says of content-free
inputs (arXiv 2102.09690): a model that prefers a word whatever it reads gains nothing by that. Where the
template has {reasoning}, the model first writes there (chain of thought, arXiv 2201.11903 and 2205.11916).
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

LABEL, REASONING = "{label}", "{reasoning}"
FIELD = re.compile(r"\{(\w+)\}")
CONTENT_FREE = ("N/A", "[MASK]", "")
BETWEEN = "\n\n"  # demonstrations


class PromptingError(AlignloopError):
    """A template, its words or an item cannot be used; the message names it."""


@dataclass(frozen=True)
class Template:
    """A text with fields in braces, `{label}` at its end; `demonstrations` stand filled before it.

    `{reasoning}` is no field of an item: what the model writes there, or what a demonstration has there.
    """

    text: str
    demonstrations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.text.count(LABEL) != 1 or not self.text.endswith(LABEL):
            raise PromptingError(f"template {self.text!r}: must end with {LABEL}, which stands there once")
        if not self.fields:
            raise PromptingError(f"template {self.text!r}: names no field such as {{text}} before {LABEL}")
        if self.text.count(REASONING) > 1:
            raise PromptingError(f"template {self.text!r}: {REASONING} stands there once at most")

    @property
    def fields(self) -> list[str]:
        """The names of the fields but for the label and the reasoning."""
        found = FIELD.findall(self.text.removesuffix(LABEL).replace(REASONING, ""))
        return list(dict.fromkeys(found))

    @property
    def reasons(self) -> bool:
        """Whether the model writes before it is asked for the label."""
        return REASONING in self.text

    def opening(self, item: Mapping[str, str]) -> str:
        """The text up to the reasoning, with the demonstrations before it."""
        before, _, _ = self.text.partition(REASONING)
        return Template(f"{before}{LABEL}", self.demonstrations).filled(item)

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
    begun: Sequence[str] | None = None,
) -> Tensor:
    """The probability (N, C) of each class after each prompt; rows sum to 1.

    With `chat` a prompt is the user's turn and the word begins the response. Otherwise the word continues the
    text: white space at the prompt's end goes to the word, as tokenizers have it. `begun` are the beginnings
    of the responses, a reasoning say, or continue the prompts. Raises PromptingError for what does not fit
    into the context.
    """
    owners = [place for place, words in enumerate(verbalisers.words.values()) for _ in words]
    said = [word for words in verbalisers.words.values() for word in words]
    split = _chat_rows if chat else _text_rows
    asked = zip(prompts, begun or [""] * len(prompts), strict=True)
    rows = [row for prompt, start in asked for row in split(tokenizer, prompt, start, said)]
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
    tokenizer: PreTrainedTokenizerBase, prompt: str, begun: str, words: Sequence[str]
) -> list[tuple[list[int], list[int]]]:
    before = encode_prompt(tokenizer, [{"role": "user", "content": prompt.rstrip()}])
    if not begun:
        return [(before, encode_response(tokenizer, word.strip(), ended=False)) for word in words]
    texts = (begun.rstrip(), *(begun + word for word in words))
    stripped, *whole = [before + encode_response(tokenizer, text, ended=False) for text in texts]
    return _apart(stripped, whole)


def _text_rows(
    tokenizer: PreTrainedTokenizerBase, prompt: str, begun: str, words: Sequence[str]
) -> list[tuple[list[int], list[int]]]:
    """The tokens that a prompt has in common with its continuations, and those of each word after them."""
    prompt += begun
    first = first_tokens(tokenizer)
    texts = [
        escape_special_tokens(tokenizer, text) for text in (prompt.rstrip(), *(prompt + w for w in words))
    ]
    stripped, *whole = [first + encode(tokenizer, text) for text in texts]
    rows = _apart(stripped, whole)
    if not rows[0][0]:
        raise PromptingError(f"the prompt {prompt[:60]!r}: no token stands before the label")
    return rows


def first_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The token that begins a text, of tokenizers that put one there."""
    start = tokenizer.encode("", add_special_tokens=True)
    return start if start == [tokenizer.bos_token_id] else []


def _apart(stripped: list[int], whole: Sequence[list[int]]) -> list[tuple[list[int], list[int]]]:
    """Each row as the tokens that all share with the stripped one, and its own after them."""
    columns = zip(stripped, *whole, strict=False)
    shared = sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, columns))
    return [(ids[:shared], ids[shared:]) for ids in whole]
