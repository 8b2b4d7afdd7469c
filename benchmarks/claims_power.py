"""How many seeds a claim needs: the power of a paired t test, from the differences that some seeds showed.

python -m benchmarks.claims_power 0.0141 0.0416 0.024 -0.00467 0.0183    # or: benchmarks.claims --power FILE

A claim is shown if the 95 % interval of its mean difference (Student's t) is above zero. With n seeds and a
true mean of d standard deviations, t has a non-central distribution with n − 1 degrees of freedom and
non-centrality d·√n (Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd edition, chapter 2).
"""

import argparse
from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev

from scipy.stats import nct
from scipy.stats import t as student

POWER = 0.8  # Cohen's convention: four such experiments of five show what is there
MOST_SEEDS = 1000


def power(effect: float, seeds: int) -> float:
    """The probability that `seeds` paired differences show a mean of `effect` standard deviations."""
    degrees = seeds - 1
    return float(nct.sf(student.ppf(0.975, degrees), degrees, effect * sqrt(seeds)))


def seeds_needed(effect: float, wanted: float = POWER) -> int | None:
    """The fewest seeds that show a mean of `effect` standard deviations with probability `wanted`.

    None if more than 1,000 are needed, as for an effect of 0.
    """
    return next((seeds for seeds in range(2, MOST_SEEDS + 1) if power(abs(effect), seeds) >= wanted), None)


def power_table(differences: Mapping[str, Sequence[float]]) -> str:
    """For each difference: its mean, standard deviation over seeds, and seeds needed, as a Markdown table."""
    lines = [
        "| must be above 0 | seeds | mean | standard deviation | power with them | seeds for power 0.8 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, values in differences.items():
        mean, spread = fmean(values), stdev(values)
        reached, needed = (
            (power(abs(mean) / spread, len(values)), seeds_needed(mean / spread)) if spread else (1, 2)
        )
        parts = (len(values), signed(mean), f"{spread:.3g}", f"{reached:.2f}", needed or f"> {MOST_SEEDS}")
        lines.append(f"| {name} | {' | '.join(map(str, parts))} |")
    return "\n".join(lines) + "\n"


def signed(number: float) -> str:
    """Three digits, with a minus sign."""
    return f"{number:.3g}".replace("-", "−")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.claims_power", description="How many seeds a difference needs."
    )
    parser.add_argument("differences", type=float, nargs="+", help="one per seed, at least two")
    print(power_table({"difference": parser.parse_args().differences}))


if __name__ == "__main__":
    main()
