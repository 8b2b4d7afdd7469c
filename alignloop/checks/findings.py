"""What a check found: how serious it is, and what helps."""

from dataclasses import dataclass
from typing import Literal

from alignloop.errors import AlignloopError

Severity = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One result of the check of this name. With an error, a stage will fail; a note needs no action."""

    check: str
    severity: Severity
    message: str
    remedy: str = ""


def error(check: str, fault: AlignloopError | str) -> Finding:
    """A fault as a finding: what stands after the last semicolon of its message is the remedy."""
    said = str(fault)
    message, _, remedy = said.rpartition("; ") if "; " in said else said.rpartition(": ")
    return Finding(check, "error", message or said, remedy if message else "")
