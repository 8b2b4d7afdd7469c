"""Checkpoints of a stage at work: one that was killed goes on after its last whole one. Tensors are safetensors, all else is JSON.

They lie in .cache/checkpoints/STAGE/FINGERPRINT, where DVC, which removes a stage's outs before it runs, sees nothing. The fingerprint is
that of everything the stage's result depends on, so that no checkpoint of other inputs, numbers or code is ever continued. A stage that
has ended leaves its last one until dvc.lock knows what it made: killed in between, it has only to write its outs again.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from alignloop.core.train_state import State, Stateful
from alignloop.files import WriteError, replacing, write_json
from alignloop.training.journal import Journal

PLACE = Path(".cache", "checkpoints")
TENSORS, PLAIN, MADE = "tensors.safetensors", "state.json", "made.json"
TENSOR = "tensor:"  # in the JSON: what stands here is that tensor
KEPT = 2  # the newest, and the one before it


class Checkpoint:
    """The state of all that a stage at work holds, and its journals, written down after every `every`th of its steps."""

    def __init__(self, root: Path, stage: str, fingerprint: str, every: int) -> None:
        self.folder, self.every = root / PLACE / stage / fingerprint, every
        for other in self.folder.parent.glob("*"):
            if other != self.folder:
                shutil.rmtree(other)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._held: dict[str, Stateful] = {}
        self._journals: dict[str, Journal] = {}
        self._number, self._saved, self._sizes = self._newest()

    @classmethod
    def fresh(cls, root: Path, stage: str) -> "Checkpoint":
        """One for a stage that starts at its beginning, whatever was left there, and need not be continued."""
        return cls(root, stage, uuid4().hex, sys.maxsize)

    def hold(self, **parts: Stateful) -> None:
        """Let these be part of every checkpoint from now on; those that the one at hand knows go on from there."""
        for name, part in parts.items():
            self._held[name] = part
            if name in self._saved:
                part.restore(self._saved.pop(name))

    def journal(self, name: str) -> Journal:
        """A file beside the checkpoints, for what only grows; what came after the one at hand is forgotten."""
        self._journals[name] = journal = Journal(self.folder / f"{name}.jsonl", self._sizes.get(name, 0))
        return journal

    def after(self, step: int, last: bool) -> None:
        """A step is done: write a checkpoint if it is its turn, or the last step."""
        if last or step % self.every == 0:
            self.save()

    def save(self) -> None:
        """Write a checkpoint, whole or not at all, and keep the one before it. Raises WriteError."""
        tensors: dict[str, Tensor] = {}
        plain = {name: _taken_apart(part.state(), name, tensors) for name, part in self._held.items()}
        with replacing(self._place(self._number + 1)) as part:
            part.mkdir()
            try:
                save_file(tensors, part / TENSORS)
            except SafetensorError as error:
                raise WriteError(
                    f"{self.folder}: cannot be written: {error}; make room and run again: the last checkpoint stays"
                ) from None
            sizes = {name: journal.size for name, journal in self._journals.items()}
            content = {"blake2b": _digest(part / TENSORS), "journals": sizes, "held": plain}
            (part / PLAIN).write_text(json.dumps(content), encoding="utf-8")
        self._number += 1
        for number in self._numbers()[:-KEPT]:
            shutil.rmtree(self._place(number))

    def done(self, made: Mapping[str, str]) -> None:
        """The stage has made all its outs, of these hashes: what is here is worth something only until DVC has recorded them."""
        write_json(self.folder / MADE, made)

    def _newest(self) -> tuple[int, dict[str, State], dict[str, int]]:
        """The newest whole checkpoint and the sizes of its journals; torn ones go. A hash tells them: faster than to wait for the disk."""
        for number in reversed(self._numbers()):
            place = self._place(number)
            try:
                content = json.loads((place / PLAIN).read_text(encoding="utf-8"))
                sizes: dict[str, int] = content["journals"]
                grown = all(
                    (self.folder / f"{name}.jsonl").stat().st_size >= size for name, size in sizes.items()
                )
                if grown and content["blake2b"] == _digest(place / TENSORS):
                    tensors = load_file(place / TENSORS)
                    return (
                        number,
                        {name: _put_together(part, tensors) for name, part in content["held"].items()},
                        sizes,
                    )
            except (OSError, ValueError, KeyError, SafetensorError):
                pass
            shutil.rmtree(place)
        return 0, {}, {}

    def _numbers(self) -> list[int]:
        return sorted(int(path.name) for path in self.folder.glob("[0-9]*"))

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:08}"


def forget(root: Path, recorded: Mapping[str, Mapping[str, str]]) -> None:
    """Remove the checkpoints of stages that have ended and whose outs DVC has recorded: by stage, the hash of each path."""
    for made in (root / PLACE).glob(f"*/*/{MADE}"):
        stage = made.parents[1]
        if recorded.get(stage.name) == json.loads(made.read_text(encoding="utf-8")):
            shutil.rmtree(stage)


def _taken_apart(node: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`node` as JSON can hold it; its tensors go into `tensors`, by names."""
    if isinstance(node, Tensor):
        tensors[name] = node.detach().contiguous()
        return f"{TENSOR}{name}"
    if isinstance(node, Mapping):
        return {key: _taken_apart(value, f"{name}/{key}", tensors) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_taken_apart(value, f"{name}/{place}", tensors) for place, value in enumerate(node)]
    return node


def _put_together(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(node, str) and node.startswith(TENSOR):
        return tensors[node.removeprefix(TENSOR)]
    if isinstance(node, dict):
        return {key: _put_together(value, tensors) for key, value in node.items()}
    return [_put_together(value, tensors) for value in node] if isinstance(node, list) else node


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
