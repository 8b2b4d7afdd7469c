"""Checkpoints of a running stage: a killed one resumes from its last complete one.

Tensors are safetensors, everything else is JSON. They are in .cache/checkpoints/STAGE/FINGERPRINT, because
DVC removes a stage's outs before it runs. The fingerprint covers everything that the result depends on, so
that no checkpoint of other inputs, parameters or code is ever resumed. A finished stage keeps its last
checkpoint until its outs are in dvc.lock: killed in between, it only has to write its outs again. A large
state is copied, and a thread writes the copy while the stage goes on. Of several processes rank 0 writes; all
restore from its last checkpoint, and journals of the others are copies.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from alignloop.core import parallel_passes
from alignloop.core.train_state import State, Stateful, whole
from alignloop.files import WriteError, diverted, replacing, write_json
from alignloop.phases import phase
from alignloop.progress import duration, format_size, readable
from alignloop.training.journal import Journal

PLACE = Path(".cache", "checkpoints")
TENSORS = "tensors.safetensors"
PLAIN = "state.json"
MADE = "made.json"
TENSOR = "tensor:"  # in the JSON: stands for the tensor of this name
KEPT = 2  # the newest, and the one before it
COPIED_BYTES = 64 << 20  # a state of so many bytes is written by a thread; a smaller one is written at once


class Checkpoint:
    """The state of a running stage and its journals.

    It is saved after every `every` steps (None: never for their number), and after a step that ends `minutes`
    or more after the last one was begun. Only in this process is it still unwritten while the next steps run.
    """

    def __init__(
        self,
        root: Path,
        stage: str,
        fingerprint: str,
        every: int | None,
        minutes: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.every = root / PLACE / stage / fingerprint, every
        self._seconds, self._clock = (minutes or float("inf")) * 60, clock
        self._saved_at = clock()
        self._writer, self._writing = ThreadPoolExecutor(1, "checkpoint"), Future[None]()
        self._writing.set_result(None)
        self._written: list[tuple[int, float]] = []
        self._held: dict[str, Stateful] = {}
        self._journals: dict[str, Journal] = {}
        self._number = 0
        self._saved, self._sizes = dict[str, State](), dict[str, int]()
        if parallel_passes.is_writer():
            for other in self.folder.parent.glob("*"):
                if other != self.folder:
                    shutil.rmtree(other)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._number, self._saved, self._sizes = self._newest()
        number = parallel_passes.agreed(self._number)
        if number != self._number:  # another rank than the first: this one has looked for none
            self._number, (self._saved, self._sizes) = number, _read(self._place(number))

    @classmethod
    def fresh(cls, root: Path, stage: str) -> "Checkpoint":
        """A checkpoint for a stage that starts from the beginning and need not be resumable."""
        return cls(root, stage, uuid4().hex, None)

    def hold(self, **parts: Stateful) -> None:
        """Include these parts in every checkpoint from now on; restore those in the last checkpoint."""
        for name, part in parts.items():
            self._held[name] = part
            if name in self._saved:
                part.restore(self._saved.pop(name))

    def journal(self, name: str) -> Journal:
        """A file beside the checkpoints that only grows; lines after the last checkpoint are dropped."""
        file, size = self.folder / f"{name}.jsonl", self._sizes.get(name, 0)
        if scratch := diverted():
            with file.open("rb") if size else BytesIO() as written:
                (scratch / file.name).write_bytes(written.read(size))
            file = scratch / file.name
        self._journals[name] = journal = Journal(file, size)
        return journal

    def after(self, step: int, last: bool) -> None:
        """Save a checkpoint after this step if it is due, or if the step is the last. Raises WriteError."""
        if self._writing.done():
            self.wait()  # what went wrong in the thread is said as soon as it is known
        many = self.every is not None and step % self.every == 0
        if parallel_passes.agreed(last or many or self._clock() - self._saved_at >= self._seconds):
            self.save()
        if last:
            self.wait()

    def save(self) -> None:
        """Write a checkpoint atomically, and keep the previous one; a large one in a thread.

        Raises WriteError, also where the one before could not be written.
        """
        with phase("checkpoint"):
            self.wait()
            self._saved_at = self._clock()
            tensors: dict[str, Tensor] = {}
            held = {name: _without_tensors(part.state(), name, tensors) for name, part in self._held.items()}
            if not parallel_passes.is_writer():
                return
            sizes = {name: journal.size for name, journal in self._journals.items()}
            plain = {"journals": sizes, "held": held}
            if _bytes(tensors) < COPIED_BYTES:
                self._write(tensors, plain)
            else:
                copied = {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}
                self._writing = self._writer.submit(self._write, copied, plain)

    def wait(self) -> None:
        """Return when nothing is being written. Raises WriteError."""
        self._writing.result()

    def _write(self, tensors: dict[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Write tensors and JSON as the next checkpoint, and remove the oldest."""
        began = time.monotonic()
        with replacing(self._place(self._number + 1)) as part:
            part.mkdir()
            try:
                save_file(tensors, part / TENSORS)
            except SafetensorError as error:
                raise WriteError(
                    f"{self.folder}: cannot be written: {error}; make room and run again: "
                    "the last checkpoint stays"
                ) from None
            content = {"blake2b": _digest(part / TENSORS), **plain}
            (part / PLAIN).write_text(json.dumps(content), encoding="utf-8")
        self._number += 1
        for number in self._numbers()[:-KEPT]:
            shutil.rmtree(self._place(number))
        self._written.append((_bytes(tensors), time.monotonic() - began))

    def summary(self) -> str:
        """How many checkpoints this process wrote, their size and mean time; nothing if it wrote none."""
        if not self._written:
            return ""
        bytes, seconds = self._written[-1][0], sum(took for _, took in self._written) / len(self._written)
        took = duration(seconds) if seconds >= 60 else f"{readable(round(seconds, 2))} s"
        beside = ", beside the training" if bytes >= COPIED_BYTES else ""
        return f"checkpoints: {len(self._written):,} of {format_size(bytes)}, {took} each{beside}"

    def done(self, made: Mapping[str, str]) -> None:
        """Record the hashes of the finished stage's outs, by which `forget` finds that dvc.lock has them."""
        write_json(self.folder / MADE, made)

    def _newest(self) -> tuple[int, dict[str, State], dict[str, int]]:
        """The newest complete checkpoint and the sizes of its journals; removes incomplete ones."""
        for number in reversed(self._numbers()):
            place = self._place(number)
            try:
                content = json.loads((place / PLAIN).read_text(encoding="utf-8"))
                sizes: dict[str, int] = content["journals"]
                grown = all(
                    (self.folder / f"{name}.jsonl").stat().st_size >= size for name, size in sizes.items()
                )
                if grown and content["blake2b"] == _digest(place / TENSORS):
                    return number, *_read(place)
            except (OSError, ValueError, KeyError, SafetensorError):
                pass
            shutil.rmtree(place)
        return 0, {}, {}

    def _numbers(self) -> list[int]:
        return sorted(int(path.name) for path in self.folder.glob("[0-9]*"))

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:08}"


def forget(root: Path, recorded: Mapping[str, Mapping[str, str]]) -> None:
    """Remove the checkpoints of finished stages whose outs are `recorded` in dvc.lock: hashes by stage."""
    for made in (root / PLACE).glob(f"*/*/{MADE}"):
        stage = made.parents[1]
        if recorded.get(stage.name) == json.loads(made.read_text(encoding="utf-8")):
            shutil.rmtree(stage)


def _read(place: Path) -> tuple[dict[str, State], dict[str, int]]:
    """The states in a complete checkpoint, by part, and the sizes of its journals."""
    content = json.loads((place / PLAIN).read_text(encoding="utf-8"))
    tensors = load_file(place / TENSORS)
    return {name: _with_tensors(part, tensors) for name, part in content["held"].items()}, content["journals"]


def _without_tensors(node: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`node` as JSON; its tensors go into `tensors`, by name."""
    if isinstance(node, Tensor):
        full = whole(node.detach())
        if parallel_passes.is_writer():
            tensors[name] = full.contiguous()
        return f"{TENSOR}{name}"
    if isinstance(node, Mapping):
        return {key: _without_tensors(value, f"{name}/{key}", tensors) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_without_tensors(value, f"{name}/{place}", tensors) for place, value in enumerate(node)]
    return node


def _with_tensors(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(node, str) and node.startswith(TENSOR):
        return tensors[node.removeprefix(TENSOR)]
    if isinstance(node, dict):
        return {key: _with_tensors(value, tensors) for key, value in node.items()}
    return [_with_tensors(value, tensors) for value in node] if isinstance(node, list) else node


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
