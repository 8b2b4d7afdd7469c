"""`python -m alignloop results`: print the rounds' results, and write the page reports/index.html again."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.release.results_page import write_page
from alignloop.release.round_results import overview, read_results


class NoResultsError(AlignloopError):
    """No round was evaluated yet."""


def command(arguments: Sequence[str]) -> int:
    """Print the table, the verdict and the warnings, and write the page."""
    argparse.ArgumentParser("python -m alignloop results", description=__doc__).parse_args(arguments)
    results, page = read_results(Path.cwd()), write_page(Path.cwd())
    if results is None or page is None:
        raise NoResultsError("metrics/rounds: no round was evaluated yet; `make run` runs the loop")
    print(f"{overview(results)}\n\nthe page: {page.relative_to(Path.cwd())}")
    return 0
