"""How many requests this process has sent to models behind endpoints, and the tokens that they stated."""

from collections.abc import Mapping
from threading import Lock
from typing import Any

KINDS = ("calls", "prompt_tokens", "completion_tokens")

_lock = Lock()
_counts: dict[str, int] = dict.fromkeys(KINDS, 0)


def count_call() -> None:
    """Count a request that is about to be sent."""
    with _lock:
        _counts["calls"] += 1


def count_tokens(completion: Mapping[str, Any]) -> None:
    """Count the tokens that a completion's `usage` states; a server that states none adds none."""
    stated = completion.get("usage")
    for kind in KINDS[1:]:
        tokens = stated.get(kind) if isinstance(stated, dict) else None
        if isinstance(tokens, int):
            with _lock:
                _counts[kind] += tokens


def so_far() -> dict[str, int]:
    """The counts of this process by kind."""
    with _lock:
        return dict(_counts)
