"""The tags of a run that name the versions it read and wrote: kind and path, with the DVC hash as value.

Inputs (`in:`) and outputs (`out:`) are shown on a run's page. The hashes of code files are some fifty: MLflow
hides tags whose names begin with `mlflow.`, and so its page is left to what people look for.
"""

from collections.abc import Mapping

from alignloop.tracking.mlflow_store import valid_key

HIDDEN_CODE = "mlflow.alignloop.code:"
PREFIXES = {"in": ("in:",), "out": ("out:",), "code": (HIDDEN_CODE, "code:")}  # the second: up to version 0.1


def version_tags(kind: str, hashes: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a run's inputs (`in`), outputs (`out`) or code files (`code`)."""
    return {valid_key(f"{PREFIXES[kind][0]}{path}"): hash for path, hash in hashes.items()}


def paths_of(tags: Mapping[str, str], kind: str) -> dict[str, str]:
    """Return the paths and hashes that these tags name."""
    return {
        key.removeprefix(prefix): value
        for prefix in PREFIXES[kind]
        for key, value in tags.items()
        if key.startswith(prefix)
    }
