"""Vectors of texts by a checkpoint: the mean of its last hidden states over a text's tokens, on the CPU.

Importing this takes seconds (torch): whoever may do without, imports it when a checkpoint is named.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModel

from alignloop.core.checkpoint_folder import (
    CheckpointError,
    check_folder,
    check_trunk,
    first_line,
    load_weights,
    read_tokenizer,
)
from alignloop.core.models import check_rows, context_of
from alignloop.retrieval.vectors import FLOAT, Vector, content_of


class Embedder:
    """A local checkpoint that gives texts vectors; it is a `vectors.Embedding`.

    A text's vector depends on that text alone: each has a pass of its own, on one thread. `context` is how
    many of its tokens are read. Raises CheckpointError or IndexProblem.
    """

    def __init__(self, folder: Path) -> None:
        self.content = content_of(folder)
        check_folder(str(folder))
        check_trunk(str(folder))
        self._folder = folder
        self._tokenizer = read_tokenizer(folder)
        self._model = load_weights(AutoModel, folder).eval().requires_grad_(False)
        check_rows(self._model, self._tokenizer, folder)
        self.context = min(context_of(self._model), self._tokenizer.model_max_length)
        try:
            self._width = len(self._states([0]))
        except MemoryError:
            raise
        except Exception as error:  # what a model of pictures or sounds raises is its own
            raise CheckpointError(
                f"{folder}: gives no hidden states of a text ({first_line(error)}); take a model of texts"
            ) from None

    def vectors(self, texts: Sequence[str]) -> Iterator[Vector]:
        """A vector for each text, in their order; as many at a time as there are cores."""
        rows = [self._ids(text) for text in texts]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums are rounded by the number of threads
        try:
            with ThreadPoolExecutor(min(len(rows), os.cpu_count() or 1) or 1) as pool:
                numbers = pool.map(lambda row: self._vector(row[0]), rows)
                for vector, (_, is_cut) in zip(numbers, rows, strict=True):
                    yield Vector(vector, is_cut)
        finally:
            torch.set_num_threads(threads)

    def _ids(self, text: str) -> tuple[list[int], bool]:
        """A text's tokens as the checkpoint's tokenizer has them, and whether they were cut."""
        ids = self._tokenizer(text, verbose=False)["input_ids"]
        if len(ids) <= self.context:
            return ids, False
        return self._tokenizer(text, truncation=True, max_length=self.context)["input_ids"], True

    def _vector(self, ids: list[int]) -> bytes:
        mean = self._states(ids).double().mean(1) if ids else torch.zeros(self._width)
        vector = torch.nn.functional.normalize(mean, dim=0).float()
        if not torch.isfinite(vector).all():
            raise CheckpointError(
                f"{self._folder}: gives vectors that are not finite: its weights are broken; restore them"
            )
        return vector.numpy().astype(FLOAT).tobytes()

    @torch.no_grad()
    def _states(self, ids: list[int]) -> Tensor:
        """Last hidden states (H, T) of a row without padding."""
        row = torch.tensor([ids])
        return self._model(input_ids=row, attention_mask=torch.ones_like(row)).last_hidden_state[0].T
