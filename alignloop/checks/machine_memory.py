"""The memory of a device: what a new process can take, and what this one took, in bytes; None if unknown."""

import resource
import sys
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
STATUS = Path("/proc/self/status")
GROUPS = Path("/sys/fs/cgroup")
LIMITS = (  # (limit, in use, statistics) of a control group: version 2, version 1
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
CACHED = "inactive_file"  # pages that are given back before a limit ends a process


def free_memory(device: str) -> int | None:
    """The bytes that are free on a device: `cpu`, `cuda` or `mps`."""
    if device == "cpu":
        known = [free for free in (_free_in_host(), _free_in_group()) if free is not None]
        return min(known, default=None)
    import torch  # takes seconds, and a CPU does without it

    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()


def peak_memory(device: str) -> int | None:
    """The most bytes that this process has held at a time: on a CPU all of it, else what PyTorch took there.

    Linux counts since the program started: what `getrusage` says there may be the parent's peak.
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_reserved()
    if device != "cpu":
        return None  # PyTorch keeps no peak of it
    if STATUS.exists():  # Linux
        return resident("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident(field: str) -> int | None:
    """The bytes of this process in memory: `VmRSS` now, `VmHWM` at the peak; None where nothing says so."""
    lines = STATUS.read_text(encoding="ascii").splitlines() if STATUS.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), None)


def _free_in_host(meminfo: Path = MEMINFO) -> int | None:
    """What the system can give without ending a process, swap included."""
    try:
        pairs = [line.split() for line in meminfo.read_text(encoding="ascii").splitlines()]
    except OSError:  # no Linux
        return None
    kib = {pair[0].rstrip(":"): int(pair[1]) for pair in pairs if len(pair) > 1}
    return 1024 * (kib["MemAvailable"] + kib.get("SwapFree", 0)) if "MemAvailable" in kib else None


def _free_in_group(groups: Path = GROUPS) -> int | None:
    """What the control group of this process, a container's say, may still take."""
    for limit, used, statistics in LIMITS:
        try:
            bound, taken = (groups / limit).read_text().strip(), int((groups / used).read_text())
            lines = (groups / statistics).read_text().splitlines()
        except (OSError, ValueError):
            continue
        cached = sum(int(line.split()[1]) for line in lines if line.split()[0] == CACHED)
        return int(bound) - taken + cached if bound.isdigit() else None
    return None
