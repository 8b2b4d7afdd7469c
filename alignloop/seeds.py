"""Seeds: one number in params.yaml gives every use of random numbers its own stream, by name."""

from hashlib import blake2b

import numpy as np


def seed_of(seed: int, *names: str) -> int:
    """A 63-bit seed that depends on `seed` and on every name, and on nothing else."""
    digest = blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def draws(seed: int, *names: str) -> np.random.Generator:
    """A separate random generator for the use that the names describe."""
    return np.random.default_rng(seed_of(seed, *names))
