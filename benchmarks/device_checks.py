"""Whether a device computes what the CPU does, the same twice, and the same sharded: PPO on small weights."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from alignloop.core import devices
from benchmarks.device_ppo import sharded_alone, trained
from benchmarks.time_limit import within

TOLERANCE = 1e-4  # of a weight, after two steps


class Unequal(Exception):
    """A device does not do what it should; the message says by how much."""


def agrees_with_cpu() -> str:
    """PPO on this device, and on the CPU."""
    here, used = trained(), devices.current()
    devices.use("cpu")
    try:
        there = trained()
    finally:
        devices.use(cast(devices.DeviceName, used.type))
    apart = largest_difference(here, there)
    if not apart <= TOLERANCE:
        raise Unequal(f"weights up to {apart:.1e} apart, and {TOLERANCE:g} are allowed")
    return f"weights up to {apart:.1e} apart"


def repeats() -> str:
    """PPO twice on this device, with deterministic kernels; operators that have none are named."""
    refused: set[str] = set()
    with deterministic(refused):
        apart = largest_difference(trained(), trained())
    if apart:
        raise Unequal(f"weights up to {apart:.1e} apart; without a deterministic kernel: {_named(refused)}")
    return f"equal to the bit; without a deterministic kernel: {_named(refused)}"


def sharded_equals_whole() -> str:
    """PPO with models sharded by FSDP2 over one process, and whole."""
    with deterministic(set()):
        whole = trained()
        with tempfile.TemporaryDirectory() as folder, sharded_alone(Path(folder)):
            sharded = trained()
    if apart := largest_difference(whole, sharded):
        raise Unequal(f"weights up to {apart:.1e} apart")
    return "equal to the bit"


CHECKS: dict[str, Callable[[], str]] = {
    "PPO here and on the CPU": agrees_with_cpu,
    "PPO twice": repeats,
    "PPO by FSDP2 on one process, and unsharded": sharded_equals_whole,
}


def largest_difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest difference of a weight; the lists have to be of one length."""
    return max(float((one - other).abs().max()) for one, other in zip(ours, theirs, strict=True))


@contextmanager
def deterministic(refused: set[str]) -> Iterator[None]:
    """Ask for deterministic kernels inside the block, and collect the operators that have none."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        torch.use_deterministic_algorithms(before)
    said = (str(warning.message) for warning in caught)
    refused.update(text.split()[0] for text in said if "does not have a deterministic implementation" in text)


def run_checks(seconds: float) -> bool:
    """Print a row per check; returns whether none failed."""
    print("\n| check | in fp32 |\n|---|---|")
    good = True
    for name, check in CHECKS.items():
        try:
            said = within(seconds, check)
        except Unequal as fault:
            said, good = f"**fails**: {fault}", False
        print(f"| {name} | {said} |", flush=True)
    return good


def _named(refused: set[str]) -> str:
    return ", ".join(sorted(refused)) or "none"
