"""The loop that a checkout is in: which stages belong together, and what that is called on pages.

A loop begins with the first stage that runs and ends when `release` has ended, however often it is
interrupted, waits for people, or is started by another command (`make run`, `dvc repro`, a stage by hand).
Other parameters are another loop.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from alignloop.files import write_json

PLACE = Path(".cache", "loop.json")
NO_PART_OF_THE_RESULT = (  # may change while a loop is interrupted
    "parallel_passes",
    "checkpoint_every",
    "checkpoint_minutes",
    "compute.launch",
    "compute.elastic",
    "rollout.url",
    "rollout.command",
    "rollout.max_gap",
    "rollout.max_concurrency",
    "rollout.timeout_s",
    "rollout.start_timeout_s",
    "rollout.weights_folder",
    "serving.",
    "ledger.",
    "scoring",
)


@dataclass(frozen=True)
class Loop:
    """A loop: its id, its rounds and seed, and all parameters by their dotted keys."""

    id: str
    rounds: Sequence[str]
    seed: int
    params: Mapping[str, Any]

    def step(self, round: str | None) -> int:
        """The place of a round among the loop's, from 1; 0 for what comes before the first."""
        return list(self.rounds).index(round) + 1 if round and round in self.rounds else 0


def current_loop(root: Path, params: Mapping[str, Any], rounds: Sequence[str]) -> Loop:
    """Return the loop that is open in this checkout; begin one if there is none with these parameters."""
    place, mark = root / PLACE, _mark(params)
    with suppress(OSError, ValueError, KeyError, TypeError):  # none, or not ours: then another one begins
        state = json.loads(place.read_text(encoding="utf-8"))
        if state["params"] == mark:
            return Loop(str(state["id"]), rounds, params["seed"], params)
    id = uuid.uuid4().hex
    write_json(place, {"id": id, "params": mark})
    return Loop(id, rounds, params["seed"], params)


def end_loop(root: Path) -> None:
    """End the loop: the next stage that runs begins another one."""
    (root / PLACE).unlink(missing_ok=True)


def loop_title(rounds: Sequence[str], seed: int, commit: str, what: str = "loop") -> str:
    """Return the name of a loop on pages: `loop r1–r3 · seed 1 · 2e77aad`."""
    span = f"{rounds[0]}–{rounds[-1]}" if len(rounds) > 1 else "".join(rounds)
    return " · ".join([f"{what} {span}".strip(), f"seed {seed}", commit[:7]])


def _mark(params: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in params.items() if not key.startswith(NO_PART_OF_THE_RESULT)}
    return blake2b(json.dumps(kept, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()
