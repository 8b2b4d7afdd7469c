"""The folder in which an inference server finds the policy's present weights.

It is in memory (/dev/shm) where there is room. Its owner holds a lock on it, so that what a killed process
left behind is found and removed.
"""

import fcntl
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.lora import merged_weights
from alignloop.files import WriteError

PREFIX = "alignloop-weights-"
MEMORY = Path("/dev/shm")
ROOM = 2**26  # bytes that stay free beside the weights


class WeightsFolder:
    """A folder for one model's weights in `parent`; None: in memory, or where temporary files are."""

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent
        self._folder: Path | None = None

    def __enter__(self) -> "WeightsFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._lock.close()
            self._folder = None

    def write(self, model: PreTrainedModel) -> Path:
        """Write the model's weights in place of the ones before, and return the folder. Raises WriteError.

        Adapters are merged in, and a head that is tied to the embeddings is written out: vLLM 0.30 reloads a
        checkpoint without it and keeps the head of before.
        """
        weights = _apart(merged_weights(model))
        folder = self._folder or self._make(sum(weight.nbytes for weight in weights.values()))
        file = folder / "model.safetensors"
        file.unlink(missing_ok=True)  # there need not be room for two
        try:
            save_file(weights, file, metadata={"format": "pt"})
        except (OSError, SafetensorError) as error:
            raise WriteError(
                f"{file}: the weights for the inference server cannot be written: {error}; make room, or "
                "name a folder on a larger disk in rollout.weights_folder"
            ) from None
        return folder

    def _make(self, size: int) -> Path:
        parent = self._parent
        if parent is None:
            parent = Path(tempfile.gettempdir())
            if MEMORY.is_dir():
                _remove_abandoned(MEMORY)
                if shutil.disk_usage(MEMORY).free > size + ROOM:
                    parent = MEMORY
        _remove_abandoned(parent)
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        except OSError as error:
            raise WriteError(
                f"{parent}: no folder for weights can be made: {error.strerror}; correct "
                "rollout.weights_folder"
            ) from None
        self._lock = (self._folder / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self._folder


def _apart(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights on the CPU, none sharing its memory with another."""
    seen: set[int] = set()
    apart: dict[str, Tensor] = {}
    for name, weight in weights.items():
        tensor = weight.detach().cpu().contiguous()
        apart[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return apart


def _remove_abandoned(parent: Path) -> None:
    """Remove folders whose owner is gone: nobody holds their lock."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            with (folder / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        except OSError:  # in use, not ours, or just being made
            continue
