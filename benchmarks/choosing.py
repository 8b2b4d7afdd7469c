"""What to label next: prompts chosen by disagreement against random ones, at equal labels.

python -m benchmarks.choosing .cache/choosing --seeds 1 2 3 4 5

Each seed makes a small built-in environment, a base and an SFT model; 150 random prompts are labeled and a
reward model learns from them. Then 150 more are labeled: random ones, or those of `sample.candidates` times
as many that `sample.choose: disagreement` takes. A reward model learns from each set of 300 rankings, and is
measured by the ground-truth (gold) score on responses to other prompts, the same for both. Pairs of seeds are
compared by the mean difference with a 95 % interval (Student's t).
"""

import argparse
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student

from alignloop import params as parameters
from alignloop.determinism import make_deterministic
from alignloop.params import Params
from benchmarks.laboratory import PROJECT, Laboratory

WAYS = ("random", "disagreement")
SMALL: dict[str, dict[str, Any]] = {
    "pretrain": {"epochs": 1.0},
    "sft": {"epochs": 1.0},
    "sample": {"prompts": 150, "valid_prompts": 100, "responses_per_prompt": 4},
}
WORLD = {"prompts": 2500, "demonstrations": 2000, "documents": 3000}


def small(seed: int) -> Params:
    """params.yaml at a small size."""
    values = parameters.load(PROJECT / "params.yaml").model_dump(by_alias=True)
    for section, changes in SMALL.items():
        values[section] |= changes
    values["ingest"]["world"] |= WORLD
    return parameters.parse({**values, "seed": seed}, "params.yaml")


def compare(root: Path, seed: int) -> dict[str, float]:
    """The accuracy by gold of the reward model of each way, and of the first one, for one seed."""
    params = small(seed)
    make_deterministic(params, "choosing")
    laboratory = Laboratory(root / f"seed-{seed}", params)
    laboratory.root.mkdir(parents=True, exist_ok=True)
    laboratory.set_up(None)
    laboratory.rank("first", "sft", round="r1")
    laboratory.rank("unseen", "sft", round="unseen")
    laboratory.learn_reward("first", "first")
    found = {"first": laboratory.accuracy_by_gold("first", "unseen")}
    for way in WAYS:
        chooser = "first" if way == "disagreement" else None
        laboratory.rank(way, "sft", earlier="first", round="r2", choose=chooser)
        laboratory.learn_reward(f"after-{way}", way)
        found[way] = laboratory.accuracy_by_gold(f"after-{way}", "unseen")
    return found


def interval(differences: list[float]) -> str:
    """The mean difference with its 95 % interval; one seed has none."""
    mean = fmean(differences)
    if len(differences) < 2:
        return f"{mean:+.3f} (one seed: no interval)"
    half = student.ppf(0.975, len(differences) - 1) * stdev(differences) / len(differences) ** 0.5
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="folder of the results; what is there is not computed again")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    print("| seed | after the first labels | random | disagreement |\n|---:|---:|---:|---:|", flush=True)
    results: list[dict[str, float]] = []
    for seed in options.seeds:
        results.append(compare(options.root, seed))
        print(f"| {seed} | {' | '.join(f'{value:.3f}' for value in results[-1].values())} |", flush=True)
    gaps = [found["disagreement"] - found["random"] for found in results]
    print(f"\ndisagreement − random, accuracy by gold at equal labels: {interval(gaps)}")


if __name__ == "__main__":
    main()
