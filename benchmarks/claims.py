"""The papers' claims at a small scale, over seeds: `python -m benchmarks.claims --help`.

Each claim is one or several differences that must be above zero. It holds where the 95 % interval over
seeds (Student's t) is above zero for all of them, fails where one interval is below zero, and is undecided
otherwise. All models come from the pipeline's own stages.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
import yaml
from scipy.stats import t as student
from transformers import logging

from alignloop.core.metrics import win_rate
from benchmarks.claims_figure import picture
from benchmarks.claims_power import power_table, signed
from benchmarks.laboratory import Laboratory, load

SHARES = (0.25, 0.5, 1.0)  # of the rankings
Results = Sequence[dict[str, Any]]


def run(lab: Laboratory, from_run: Path | None, say: Callable[[str], None]) -> dict[str, Any]:
    """All experiments of one seed."""
    lab.set_up(from_run)
    say("records, base and SFT")
    lab.rank("all", "sft")
    results: dict[str, Any] = {"rankings": {}}
    for share in SHARES:
        name = f"{share:g}"
        lab.fewer(name, "all", share)
        numbers = lab.learn_reward(f"reward-{name}", name)
        results["rankings"][str(numbers["rankings"])] = numbers["valid_accuracy"]
    say("reward models of more and more rankings")

    to_a_ranking = lab.pairs("pairs", "0.5")
    shuffled = lab.learn_reward(
        "reward-pairs", "pairs", rankings_per_step=round(lab.params.reward.rankings_per_step * to_a_ranking)
    )
    results["batches"] = {
        "k-way": [*results["rankings"].values()][1],
        "shuffled": shuffled["valid_accuracy"],
        "comparisons": shuffled["rankings"],
    }
    say("shuffled pairs")

    lab.improve("ppo", "sft", "reward-1")
    lab.improve("no-ptx", "sft", "reward-1", ptx_coef=0.0)
    steps = 2 * lab.params.ppo.steps
    rate = 2 * lab.params.ppo.learning_rate
    lab.improve(
        "no-penalty", "sft", "reward-1", ptx_coef=0.0, steps=steps, learning_rate=rate, kl={"coef": 0.0}
    )
    say("PPO, without ptx, without a penalty")

    lab.rank("static", "sft", "all", round="r2")
    lab.rank("fresh", "ppo", "all", round="r2")
    for name in ("static", "fresh"):
        lab.learn_reward(f"reward-{name}", name)
        lab.improve(name, "ppo", f"reward-{name}")
    say("a second round, from fresh and from static rankings")

    policies = {
        name: lab.measure(name, "reward-1")
        for name in ("base", "sft", "ppo", "no-ptx", "no-penalty", "static", "fresh")
    }
    results["policies"] = {
        name: {key: number for key, number in each.items() if key != "golds"}
        for name, each in policies.items()
    }
    duels = (("sft", "base"), ("ppo", "sft"), ("fresh", "static"))
    results["wins"] = {
        f"{mine} against {theirs}": win_rate(policies[mine]["golds"], policies[theirs]["golds"]).rate
        for mine, theirs in duels
    }
    results["path"] = lab.path("no-penalty")
    results["demonstrations"] = {
        split: fmean(lab.scores_of_demonstrations("reward-1", split)) for split in ("train", "test")
    }
    return results


def parabola(path: Sequence[dict[str, float]]) -> tuple[float, float]:
    """α and β of gold = gold₀ + d·(α − β·d), d = √KL, by least squares (arXiv 2210.10760, eq. 1)."""
    distance = np.sqrt(np.maximum([step["kl"] for step in path], 0.0))
    design = np.stack([np.ones_like(distance), distance, -(distance**2)], axis=1)
    _, alpha, beta = np.linalg.lstsq(design, np.array([step["gold"] for step in path]), rcond=None)[0]
    return float(alpha), float(beta)


@dataclass(frozen=True)
class Claim:
    """A claim in words, and its differences by name, which must be above zero."""

    words: str
    numbers: Callable[[dict[str, Any]], dict[str, float]]


def _policy(result: dict[str, Any], name: str, number: str) -> float:
    return result["policies"][name][number]


CLAIMS = {
    "rankings": Claim(
        "a reward model is the better the more rankings it learns from",
        lambda r: {
            f"accuracy, {b} rankings less {a}": r["rankings"][b] - r["rankings"][a]
            for a, b in pairwise(r["rankings"])
        },
    ),
    "batches": Claim(
        "all pairs of a ranking in one batch element beat the same pairs shuffled, after as many "
        "comparisons (arXiv 2203.02155, §3.5)",
        lambda r: {"accuracy, K-way less shuffled": r["batches"]["k-way"] - r["batches"]["shuffled"]},
    ),
    "order": Claim(
        "PPO beats SFT, and SFT beats base (arXiv 2203.02155, fig. 1)",
        lambda r: {
            f"gold win rate, {name}, less ½": r["wins"][name] - 0.5
            for name in ("sft against base", "ppo against sft")
        },
    ),
    "over-optimisation": Claim(
        "without a KL penalty gold rises and then falls along √KL (arXiv 2210.10760)",
        lambda r: dict(zip(("rise: α", "fall: β"), parabola(r["path"]), strict=True)),
    ),
    "fresh": Claim(
        "rankings of the newest policy beat as many more of SFT's responses (arXiv 2009.01325, §4.3)",
        lambda r: {
            "gold, fresh less static": _policy(r, "fresh", "gold") - _policy(r, "static", "gold"),
            "gold win rate, fresh against static, less ½": r["wins"]["fresh against static"] - 0.5,
        },
    ),
    "ptx": Claim(
        "pretraining gradients lower the alignment tax (arXiv 2203.02155, §4.2)",
        lambda r: {
            "nats per token of corpus, PPO without ptx less PPO": log(
                _policy(r, "no-ptx", "perplexity") / _policy(r, "ppo", "perplexity")
            )
        },
    ),
    "demonstrations": Claim(
        "demonstrations score 0 on average under the reward model, as loaded from disk",
        lambda r: {"1e-4 less the mean score's size": 1e-4 - abs(r["demonstrations"]["train"])},
    ),
}


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and the bounds of its 95 % interval; one value has none."""
    mean, n = fmean(values), len(values)
    reach = float(student.ppf(0.975, n - 1)) * stdev(values) / sqrt(n) if n > 1 else float("inf")
    return mean, mean - reach, mean + reach


def verdict(bounds: Sequence[tuple[float, float, float]]) -> str:
    """The verdict on a claim from its intervals."""
    if any(high < 0 for _, _, high in bounds):
        return "does not hold"
    return "holds" if all(low > 0 for _, low, _ in bounds) else "undecided"


def table(results: Results) -> str:
    """The claims as a Markdown table: mean differences with intervals, each seed, and the verdict."""
    lines = ["| claim | must be above 0 | mean [95 % over seeds] | seeds | |", "|---|---|---|---|---|"]
    for claim in CLAIMS.values():
        numbers = [claim.numbers(result) for result in results]
        bounds = {name: interval([each[name] for each in numbers]) for name in numbers[0]}
        for place, (name, (mean, low, high)) in enumerate(bounds.items()):
            reach = f"[{signed(low)}, {signed(high)}]" if len(results) > 1 else "one seed"
            seeds = " ".join(signed(each[name]) for each in numbers)
            first = (claim.words, f"**{verdict([*bounds.values()])}**") if place == 0 else ("", "")
            lines.append(f"| {first[0]} | {name} | {signed(mean)} {reach} | {seeds} | {first[1]} |")
    return "\n".join(lines) + "\n"


def differences(results: Results) -> dict[str, list[float]]:
    """Each difference of each claim by name, a number per seed."""
    return {
        f"{claim}: {name}": [CLAIMS[claim].numbers(result)[name] for result in results]
        for claim in CLAIMS
        for name in CLAIMS[claim].numbers(results[0])
    }


def _titles(results: Results) -> dict[str, str]:
    """Each claim's name with its verdict."""
    titles = {}
    for name, claim in CLAIMS.items():
        numbers = [claim.numbers(result) for result in results]
        bounds = [interval([each[key] for each in numbers]) for key in numbers[0]]
        titles[name] = f"{name}: {verdict(bounds)}"
    return titles


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.claims",
        description="The papers' claims in the built-in environment, over seeds.",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument(
        "--sizes", type=Path, default=Path(__file__).with_suffix(".yaml"), help="changes to params.yaml"
    )
    parser.add_argument(
        "--run",
        type=Path,
        help="a finished run, whose records, base and SFT model all seeds use",
    )
    parser.add_argument("--out", type=Path, help="a folder for claims.json, claims.md and claims.png")
    parser.add_argument(
        "--work", type=Path, help="a folder to work in, and to resume from; else a temporary one"
    )
    parser.add_argument(
        "--power", type=Path, help="nothing runs: seeds that each claim needs, by a claims.json of some seeds"
    )
    arguments = parser.parse_args()
    if arguments.power:
        print(power_table(differences(json.loads(arguments.power.read_text(encoding="utf-8")))))
        return
    logging.set_verbosity_error()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for seed in arguments.seeds:
            changes = yaml.safe_load(arguments.sizes.read_text(encoding="utf-8")) | {"seed": seed}
            params = load(changes)
            torch.set_num_threads(params.threads)
            lab = Laboratory((arguments.work or Path(temporary)) / f"seed-{seed}", params)
            results.append(
                {
                    "seed": seed,
                    **run(
                        lab,
                        arguments.run,
                        lambda words, seed=seed: print(f"seed {seed}: {words}", flush=True),
                    ),
                }
            )
            print(json.dumps(results[-1], default=str), flush=True)
            if arguments.out:
                arguments.out.mkdir(parents=True, exist_ok=True)
                (arguments.out / "claims.json").write_text(
                    json.dumps(results, indent=1) + "\n", encoding="utf-8"
                )
                (arguments.out / "claims.md").write_text(table(results), encoding="utf-8")
                picture(results, _titles(results)).savefig(
                    arguments.out / "claims.png", dpi=110, metadata={"Software": None}
                )
    print(table(results))


if __name__ == "__main__":
    main()
