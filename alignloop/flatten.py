"""Flatten nested mappings into one, with dotted keys."""

from collections.abc import Mapping
from typing import Any


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one: {"a": {"b": 1}} becomes {"a.b": 1}. Empty mappings leave no key."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        leaves |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return leaves
