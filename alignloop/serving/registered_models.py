"""The language models of the registry by the names under which they are served, and their weights.

`NAME/3` is a version, `NAME@champion` the version that an alias points at now. Reward models are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.models import load_policy
from alignloop.tracking import registry
from alignloop.tracking.registry import Version

PLACE = Path(".cache", "served")  # where weights are for as long as they are read


@dataclass(frozen=True)
class ServedVersion:
    """A version that can be served."""

    name: str  # NAME/3
    aliases: tuple[str, ...]
    hash: str

    @property
    def names(self) -> list[str]:
        """Every name of it, the aliases first."""
        model = self.name.partition("/")[0]
        return [*(f"{model}@{alias}" for alias in self.aliases), self.name]

    @property
    def label(self) -> str:
        """As people see it: `alignloop-policy/3 @champion`."""
        return self.name + "".join(f" @{alias}" for alias in self.aliases)


class ModelSource(Protocol):
    """Where models come from."""

    def versions(self) -> Sequence[ServedVersion]:
        """All versions, the newest first."""
        ...

    def load(self, version: ServedVersion) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The weights and the tokenizer of a version."""
        ...


class RegisteredModels:
    """The models of MLflow's registry whose names begin with `{prefix}-`."""

    def __init__(self, root: Path, prefix: str) -> None:
        self._root, self._prefix = root, prefix

    def versions(self) -> list[ServedVersion]:
        """All versions but those of reward models, the newest first. Raises TrackingError."""
        served = {f"{self._prefix}-policy", f"{self._prefix}-sft"}
        return [
            ServedVersion(f"{each.name}/{each.version}", each.aliases, each.hash)
            for each in registry.versions(self._root)
            if each.name in served
        ]

    def load(self, version: ServedVersion) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Copy a version's bytes, check their hash and read them. Raises RegistryError or CheckpointError."""
        found: Version = registry.find(self._root, version.name)
        place = self._root / PLACE
        place.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place) as folder:
            registry.download(self._root, found, Path(folder) / "model")
            return load_policy(Path(folder) / "model")
