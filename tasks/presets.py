"""The preset for a checkpoint: what changes in params.yaml for a real model on the device that is here."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from alignloop.checks.stage_memory import gigabytes
from alignloop.errors import AlignloopError

FOLDER = Path("configs")
PRESETS = ("laptop", "gpu-24gb", "gpu-80gb", "node-8x80gb")
NODE = 8  # GPUs
LARGE = 75 * 10**9  # bytes of a GPU from which all weights of a billion can learn


class UnknownPreset(AlignloopError):
    """There is no preset of this name."""


def preset_file(name: str | None, has_base: bool) -> tuple[Path | None, str]:
    """The file of a preset, and what to say of the choice: by the device where only a base is given."""
    if name is None and not has_base:
        return None, ""
    if name is None:
        chosen, why = for_device(gpus())
        others = ", ".join(other for other in PRESETS if other != chosen)
        return (
            FOLDER / f"{chosen}.yaml",
            f"{why}; choose another by PRESET={others.replace(', ', ' or PRESET=')}",
        )
    if name not in PRESETS:
        raise UnknownPreset(f"--preset {name}: there is no such preset; there are {', '.join(PRESETS)}")
    return FOLDER / f"{name}.yaml", f"preset {name}"


def for_device(gpus: Sequence[int]) -> tuple[str, str]:
    """The preset for GPUs of these bytes, and why it was chosen; less than a node uses the first."""
    if not gpus:
        return "laptop", "preset laptop: there is no GPU here"
    if len(gpus) >= NODE and min(gpus) >= LARGE:
        return "node-8x80gb", f"preset node-8x80gb: there are {len(gpus)} GPUs of {gigabytes(min(gpus))} here"
    name = "gpu-80gb" if gpus[0] >= LARGE else "gpu-24gb"
    return name, f"preset {name}: there is a GPU of {gigabytes(gpus[0])} here"


def gpus() -> list[int]:
    """The bytes of each GPU of this machine."""
    command = [sys.executable, "-m", "alignloop.checks.gpus"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
