"""Tries a checkpoint as `base` before anything runs: `python -m alignloop.training.check_base PATH`.

In a process of its own, because it imports torch and loads the weights.
"""

import sys
from collections.abc import Sequence

from alignloop.core.family_check import check_family
from alignloop.core.models import load_policy
from alignloop.errors import AlignloopError


def main(arguments: Sequence[str]) -> int:
    """Return 0 for a checkpoint that all stages can use; else print what is wrong with it, and return 1."""
    [path] = arguments
    try:
        model, _ = load_policy(path)
        check_family(model, path)
    except AlignloopError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
