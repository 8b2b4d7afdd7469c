"""Freed memory goes back to the system after long work, and short work keeps it."""

import json
import platform
import subprocess
import sys

import pytest

GLIBC = platform.libc_ver()[0] == "glibc"
PROBE = """
import json
from pathlib import Path
import torch
from alignloop.core import host_memory, parallel_passes

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024

def fragments(_):
    held = [torch.ones(16_000) for _ in range(4_000)]  # 64 kB each, on the heap
    kept.extend(held[::200])  # a few stay, between the others
    return (weight * 2).sum(), 0

kept, weight = [], torch.ones(1, requires_grad=True)
before = resident()
parallel_passes.backward(fragments, [0], [weight])
short = resident() - before
host_memory.LONG = 0.0
parallel_passes.backward(fragments, [0], [weight])
after_learning = resident() - before
host_memory.LONG = 1e9
fragments(0)
host_memory.LONG = 0.0
list(parallel_passes.in_parallel(fragments, [0]))
print(json.dumps([short, after_learning, resident() - before]))
"""


@pytest.mark.skipif(not GLIBC, reason="another C library than glibc: nothing is given back")
def test_long_passes_give_back_what_they_freed_and_short_ones_keep_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True, text=True)
    short, after_learning, after_reading = json.loads(done.stdout)
    assert short > 200, "MB that stay with the process"
    assert after_learning < 60
    assert after_reading < 60
