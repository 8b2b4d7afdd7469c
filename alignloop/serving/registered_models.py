"""The weights of the registry's language models, for the server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.models import load_policy
from alignloop.serving.engine import Engine, EngineSettings
from alignloop.serving.local_engine import LocalEngine
from alignloop.serving.served_version import ServedVersion, served_versions
from alignloop.tracking import registry
from alignloop.tracking.registry import Version

PLACE = Path(".cache", "served")  # where weights are for as long as they are read


class ModelSource(Protocol):
    """Where models come from."""

    def versions(self) -> Sequence[ServedVersion]:
        """All versions, the newest first."""
        ...

    def open(self, version: ServedVersion, settings: EngineSettings) -> Engine:
        """An engine with the weights of a version."""
        ...


class RegisteredModels:
    """The models of MLflow's registry whose names begin with `{prefix}-`."""

    def __init__(self, root: Path, prefix: str) -> None:
        self._root, self._prefix = root, prefix

    def versions(self) -> list[ServedVersion]:
        """All versions but those of reward models, the newest first. Raises TrackingError."""
        return served_versions(self._root, self._prefix)

    def open(self, version: ServedVersion, settings: EngineSettings) -> Engine:
        """An engine in this process. Raises as `load` does."""
        return LocalEngine(*self.load(version), settings)

    def load(self, version: ServedVersion) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Read a version's weights. Raises RegistryError or CheckpointError."""
        with self.copied(version) as folder:
            return load_policy(folder)

    @contextmanager
    def copied(self, version: ServedVersion) -> Iterator[Path]:
        """A copy of a version's bytes, whose hash is checked, until the block ends. Raises RegistryError."""
        found: Version = registry.find(self._root, version.name)
        place = self._root / PLACE
        place.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place) as folder:
            registry.download(self._root, found, Path(folder) / "model")
            yield Path(folder) / "model"
