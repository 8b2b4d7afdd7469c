"""The versions of the registry's language models that can be served, by their names; no weights.

`NAME/3` is a version, `NAME@champion` the version that an alias points at now. Reward models are left out.
"""

from dataclasses import dataclass
from pathlib import Path

from alignloop.tracking import registry


@dataclass(frozen=True)
class ServedVersion:
    """A version that can be served; `gates` is "passed", "failed", or "" of one that met none."""

    name: str  # NAME/3
    aliases: tuple[str, ...]
    hash: str
    gates: str = ""

    @property
    def model(self) -> str:
        """The name of the model, without the version."""
        return self.name.partition("/")[0]

    @property
    def names(self) -> list[str]:
        """Every name of it, the aliases first."""
        return [*(f"{self.model}@{alias}" for alias in self.aliases), self.name]

    @property
    def label(self) -> str:
        """As people see it: `alignloop-policy/3 @champion`."""
        return self.name + "".join(f" @{alias}" for alias in self.aliases)


def served_versions(root: Path, prefix: str) -> list[ServedVersion]:
    """All policies and SFT models named `{prefix}-…`, the newest first. Raises TrackingError."""
    served = {f"{prefix}-policy", f"{prefix}-sft"}
    return [
        ServedVersion(f"{each.name}/{each.version}", each.aliases, each.hash, each.tags.get("gates", ""))
        for each in registry.versions(root)
        if each.name in served
    ]
