"""`python -m alignloop rollback`: make the previous champion the champion again."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from alignloop import params as parameters
from alignloop.release import champion


def command(arguments: Sequence[str]) -> int:
    """Record the rollback in the log of decisions and print the new champion."""
    parser = argparse.ArgumentParser("python -m alignloop rollback", description=__doc__)
    parser.add_argument("--name", required=True, help="who decides")
    parser.add_argument("--reason", required=True)
    options = parser.parse_args(arguments)
    name = f"{parameters.load(Path('params.yaml')).release.registry}-policy"
    entry = champion.rollback(Path.cwd(), name, options.name, options.reason)
    print(f"{entry.summary}\nthe champion is {entry.champion}")
    return 0
