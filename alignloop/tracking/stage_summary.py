"""What a stage says of itself at its end, as lines; MLflow has the numbers of every stage."""

import sys

from alignloop import phases
from alignloop.checks.machine_memory import peak_memory
from alignloop.progress import format_size, shares_of_time
from alignloop.tracking.active_run import ActiveRun


def time(active: ActiveRun, step: int, whole: float) -> str:
    """Where the time of a stage of `whole` seconds went; empty if it named no phase."""
    took = phases.seconds()
    active.log(step, {f"time/{name.replace(' ', '_')}_seconds": spent for name, spent in took.items()})
    return f"time: {shares_of_time(took, whole)}" if took else ""


def memory(active: ActiveRun, step: int, estimated: int | None) -> str:
    """The most bytes that this process held, beside what was estimated before it began; empty if unknown."""
    if estimated is None or "torch" not in sys.modules:
        return ""
    from alignloop.core import devices

    peak = peak_memory(devices.current().type)
    if peak is None:
        return ""
    active.log(step, {"memory/peak_gb": peak / 1e9, "memory/estimated_gb": estimated / 1e9})
    return f"memory: {format_size(peak)} at most, {format_size(estimated)} estimated"
