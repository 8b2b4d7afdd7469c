"""How often the alarm on thumbs down is false, and after how many people it finds a rise, by simulation.

`python -m benchmarks.alarm` draws thumbs of people before and now, and looks again and again.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from alignloop.core.anytime import Counted, evidence_of_rise

CASES = ((0.1, 0.1), (0.3, 0.3), (0.1, 0.2), (0.1, 0.3), (0.3, 0.4), (0.3, 0.5))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each pair of shares of thumbs down."""
    parser = argparse.ArgumentParser("python -m benchmarks.alarm", description=__doc__)
    parser.add_argument("--error", type=float, default=0.01, help="the stated error: %(default)s")
    parser.add_argument("--before", type=int, default=500, help="people before: %(default)s")
    parser.add_argument("--people", type=int, default=500, help="people now, at most: %(default)s")
    parser.add_argument("--every", type=int, default=5, help="people between two looks: %(default)s")
    parser.add_argument("--runs", type=int, default=100)
    options = parser.parse_args(arguments)
    print("| thumbs down before | now | alarms | people until half of the alarms |")
    print("|---|---|---|---|")
    for old, new in CASES:
        found = [look(old, new, options, seed) for seed in range(options.runs)]
        times = [each for each in found if each is not None]
        half = f"{np.median(times):.0f}" if times else "–"
        print(f"| {old:.0%} | {new:.0%} | {len(times) / options.runs:.1%} | {half} |", flush=True)


def look(old: float, new: float, options: argparse.Namespace, seed: int) -> int | None:
    """How many people have rated the new model when the evidence first suffices; None if it never does."""
    random = np.random.default_rng(seed)
    bad = random.binomial(options.before, old)
    before = Counted(bad, options.before - bad)
    downs = (random.random(options.people) < new).cumsum()
    for seen in range(options.every, options.people + 1, options.every):
        hits = downs[seen - 1]
        if evidence_of_rise(before, Counted(hits, seen - hits)) >= 1 / options.error:
            return seen
    return None


if __name__ == "__main__":
    main()
