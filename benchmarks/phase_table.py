"""PPO's time by phase, as rows of a table: seconds of a step, and their share."""

from collections.abc import Mapping

NAMES = {"decoding": "decode", "scoring": "scores", "moving average": "EMA", "step": "rest"}


def phase_rows(title: str, took: Mapping[str, float], steps: int = 1) -> list[str]:
    """A row per phase, of the seconds that so many steps took; `rest` is what no phase has."""
    whole = sum(took.values())
    found = sorted(took.items(), key=lambda each: (each[0] == "step", -each[1]))
    rows = [(NAMES.get(name, name), seconds) for name, seconds in [*found, ("whole", whole)]]
    return [f"| {title} | {name} | {seconds / steps:.3g} | {seconds / whole:.1%} |" for name, seconds in rows]
