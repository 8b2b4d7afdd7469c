"""Resuming on another number of processes: `compute.elastic` in params.yaml.

Processes are part of a checkpoint's fingerprint, because another number of them rounds differently: without
`elastic`, a stage starts anew. Each checkpoint's folder also keeps the fingerprint without them.
"""

import json
from pathlib import Path

from alignloop.files import write_json
from alignloop.training.checkpoints import PLACE

FILE = "processes.json"


def sign(root: Path, stage: str, fingerprint: str, likeness: str, processes: str) -> None:
    """Write beside a stage's checkpoints the fingerprint without processes, and what they are, in words."""
    write_json(root / PLACE / stage / fingerprint / FILE, {"fingerprint": likeness, "processes": processes})


def adopt(root: Path, stage: str, fingerprint: str, likeness: str) -> str:
    """Give the stage the checkpoints that other processes left; returns what these were, or nothing."""
    own = root / PLACE / stage / fingerprint
    for file in sorted(own.parent.glob(f"*/{FILE}")):
        signed = json.loads(file.read_text(encoding="utf-8"))
        if file.parent != own and not own.exists() and signed["fingerprint"] == likeness:
            file.parent.rename(own)
            return str(signed["processes"])
    return ""
