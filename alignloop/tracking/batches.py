"""Batches of what is sent to MLflow in one request."""

from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")
MOST = 100  # tags or parameters that MLflow takes at a time


def hundreds(items: list[T]) -> Iterator[list[T]]:
    """Yield the items in lists that MLflow takes."""
    return (items[start : start + MOST] for start in range(0, len(items), MOST))
