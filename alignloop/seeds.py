"""Seeds for everything that draws: one number in params.yaml, one stream per use, told apart by name."""

from hashlib import blake2b

import numpy as np


def seed_of(seed: int, *names: str) -> int:
    """A 63-bit seed that depends on `seed` and on every name, and on nothing else."""
    digest = blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def draws(seed: int, *names: str) -> np.random.Generator:
    """A random generator of its own for the use that the names tell."""
    return np.random.default_rng(seed_of(seed, *names))
