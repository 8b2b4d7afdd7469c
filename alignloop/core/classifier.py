"""Reward models of other projects: sequence classifiers of one label, with their own tokenizer and template.

A score is what the family's own forward pass gives for a row by itself.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core import devices
from alignloop.core.batches import by_length
from alignloop.core.chat_template import Messages, TokenizerError, render
from alignloop.core.checkpoint_folder import check_classifier, check_folder, load_weights, read_tokenizer
from alignloop.core.models import context_of
from alignloop.core.parallel_passes import in_parallel
from alignloop.core.tokens import encode, pad_right
from alignloop.phases import counted, phase


class Classifier:
    """A frozen classifier whose one label is a score. Raises CheckpointError or TokenizerError."""

    def __init__(self, path: str) -> None:
        check_folder(path)
        check_classifier(path)
        self.path, self.tokenizer = path, read_tokenizer(path)
        if self.tokenizer.chat_template is None:
            raise TokenizerError(
                f"{path}: the tokenizer has no chat template; give its folder a chat_template.jinja that "
                "writes dialogues as the reward model was trained on them"
            )
        with phase("loading", of=path):
            model = load_weights(AutoModelForSequenceClassification, path)
        self.model: PreTrainedModel = devices.place(model.eval().requires_grad_(False))
        self._pad: int | None = self.model.config.get_text_config().pad_token_id

    @property
    def context(self) -> int:
        """The longest row in tokens."""
        return context_limit(self.model, self.tokenizer)

    def encode(self, messages: Messages) -> list[int]:
        """A dialogue that ends with the response, as its own template writes it."""
        return encode(self.tokenizer, render(self.tokenizer, messages, add_generation_prompt=False))

    @torch.no_grad()
    def score(self, rows: Sequence[list[int]]) -> Tensor:
        """Scores (N,) of rows, in their order. Without a pad token a pass has one row, as the family asks."""
        batches = by_length([len(row) for row in rows])
        if self._pad is None:
            batches = [[index] for batch in batches for index in batch]
        device = devices.of(self.model)

        def of_batch(batch: list[int]) -> Tensor:
            ids, mask = pad_right([rows[index] for index in batch], self._pad or 0)
            with torch.autocast(device.type, enabled=False):  # bf16 has three digits: too few for a score
                given = self.model(input_ids=ids.to(device), attention_mask=mask.long().to(device))
            return given.logits[:, 0].float().cpu()

        found = list(counted("scoring", in_parallel(of_batch, batches), len(batches)))
        order = torch.tensor([index for batch in batches for index in batch])
        return torch.cat(found)[torch.argsort(order)]


def context_limit(model: PreTrainedModel | str | Path, tokenizer: PreTrainedTokenizerBase) -> int:
    """The longest row in tokens: the model's context, or the tokenizer's own limit where that is shorter."""
    return min(context_of(model), tokenizer.model_max_length)
