"""Policies whose tokenizer is not the reward model's: measured on their texts, in the reward model's tokens.

Lengths, diversity and perplexity of two policies can be compared only in the same tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignloop.core.lm_training import count_targets
from alignloop.core.models import context_of
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score
from alignloop.core.tokens import Encoded, encode_prompt, encode_response, pad_of
from alignloop.records import Document, Prompt
from alignloop.training.encoding import chat, document_rows


def same_tokens(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether ids of one mean the same to the other, in the same template."""
    return one.get_vocab() == other.get_vocab() and one.chat_template == other.chat_template


@dataclass(frozen=True)
class OtherTokens:
    """A reward model with its tokenizer, which reads texts of a policy with another one."""

    model: RewardModel
    tokenizer: PreTrainedTokenizerBase

    def score(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> Tensor:
        """Scores (N,) of responses; rows are cut to the context, as those of `training/scoring.py`."""
        context = context_of(self.model.trunk)
        rows = [
            encode_prompt(self.tokenizer, chat(prompt.messages)) + encode_response(self.tokenizer, text)
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        return score(self.model, [row[:context] for row in rows], pad_of(self.tokenizer))

    def tokens(self, texts: Sequence[str], ended: Sequence[bool]) -> list[list[int]]:
        """The responses in the reward model's tokens."""
        return [encode_response(self.tokenizer, text, end) for text, end in zip(texts, ended, strict=True)]

    def loss(self, loss: float, rows: Sequence[Encoded], documents: Sequence[Document]) -> float:
        """The policy's loss on `documents`, from nats per token of its own `rows` to nats per token here."""
        theirs = document_rows(self.tokenizer, documents, context_of(self.model.trunk))
        return loss * count_targets(rows) / count_targets(theirs)
