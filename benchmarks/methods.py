"""Nine ways from the same rankings to a better policy: wins by gold against KL, and time, over seeds.

python -m benchmarks.methods --run RUN --work work/methods --out work/methods

RUN is a finished run, whose environment, base and SFT model all seeds use; without it they are made first.
A seed draws its own rankings of SFT's responses and trains one reward model on them. Each method starts at
that SFT model and uses these rankings: directly (DPO, IPO, KTO, K-way DPO), or through the reward model (PPO
with and without pretraining gradients, RLOO, GRPO, best of n). `benchmarks/methods.yaml` has the sizes and
the cells of each method. A cell is a file in the work folder, written when it is whole: the same command
continues with the next one. Seconds are of the processor, with those of the reward model where one is used,
without evaluation.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from transformers import logging

from alignloop.core.metrics import win_rate
from alignloop.core.reward_model import RewardModel
from alignloop.core.sampler import OwnSampler
from alignloop.determinism import make_deterministic
from alignloop.evaluation.best_of_n_report import best_of_n_rows
from alignloop.evaluation.responses import load_test_set, respond
from alignloop.files import write_json
from benchmarks.claims import interval
from benchmarks.laboratory import Laboratory, load
from benchmarks.methods_figure import picture

BEST_OF = "best of"
DIGITS = {"gold": 3, "kl": 2, "distinct_2": 3, "perplexity": 2, "seconds": 0}  # of the table's columns
Cells = dict[str, dict[int, dict[str, float]]]  # cell -> seed -> numbers


@dataclass(frozen=True)
class Plan:
    """The file of sizes: changes to params.yaml, and each method's trainer and cells."""

    params: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any]]

    def cells(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Each trained cell's name, with the section of params.yaml and the changes to it."""
        return {
            f"{method}, {strength(plan['by'], changes)}": (plan["by"], dict(changes))
            for method, plan in self.methods.items()
            for changes in plan["cells"]
        }


def strength(by: str, changes: Mapping[str, Any]) -> str:
    """The number that holds a cell near SFT, as text."""
    return (
        f"KL coefficient {changes['kl']['coef']:g}" if by == "ppo" else f"β {changes['beta_score_per_nat']:g}"
    )


def run(lab: Laboratory, plan: Plan, cells: Path, say: Callable[[str], None]) -> None:
    """All cells of one seed that are not there yet, as files in the folder `cells`."""
    shared = cells / "shared.json"
    if not shared.exists():
        start_again(lab, "reward", "data/rankings/r1", "data/samples/r1.jsonl")
        labels, reward = timed(lambda: lab.rank("r1", "sft")), timed(lambda: lab.learn_reward("reward", "r1"))
        numbers = {"seconds_labels": labels, "seconds_reward": reward}
        write_json(shared, numbers | {"gold_accuracy": lab.accuracy_by_gold("reward", "r1")})
        say("rankings and reward model")
    reward = json.loads(shared.read_text(encoding="utf-8"))["seconds_reward"]
    sft = lab.measure("sft", "reward")
    for place, (name, (by, changes)) in enumerate(plan.cells().items()):
        file, model = cells / f"{name}.json", f"cell-{place}"
        if file.exists():
            continue
        start_again(lab, model)
        seconds = timed(
            lambda model=model, by=by, changes=changes: lab.improve(model, "sft", "reward", by, **changes)
        )
        found = lab.measure(model, "reward")
        wins = win_rate(found["golds"], sft["golds"]).rate
        seconds += reward if by == "ppo" else 0.0
        numbers = {key: found[key] for key in ("gold", "kl", "distinct_2", "perplexity", "score")}
        write_json(file, {"wins": wins, **numbers, "seconds": seconds})
        say(name)
    if not all((cells / f"{BEST_OF} {n}.json").exists() for n in lab.params.evaluate.best_of):
        for n, numbers in best_of(lab).items():
            write_json(cells / f"{BEST_OF} {n}.json", {**numbers, "seconds": reward})
        say("best of n")


def start_again(lab: Laboratory, model: str, *others: str) -> None:
    """Remove what an interrupted cell left, so that its time is that of the whole."""
    for name in (f"models/{model}", f"metrics/{model}.json", f"metrics/measured-{model}.json", *others):
        place = lab.root / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def timed(work: Callable[[], Any]) -> float:
    """The processor time of work, in seconds."""
    began = time.process_time()
    work()
    return time.process_time() - began


def best_of(lab: Laboratory) -> dict[int, dict[str, float]]:
    """What SFT's best of n by the reward model earns, for each n."""
    params = lab.params
    tests = load_test_set(
        params.evaluate, lab.root / "data/prompts", lab.root / "data/corpus", lab.model("reward")
    )
    sampler = OwnSampler()
    drawn = respond(
        params.seed,
        params.evaluate,
        params.decoding,
        params.tools,
        name="sft",
        path=lab.model("sft"),
        tests=tests,
        sampler=sampler,
    )
    rows = best_of_n_rows(
        params.seed,
        params.evaluate,
        params.decoding,
        params.tools,
        model=drawn,
        reward_model=RewardModel.load(lab.model("reward")),
        sampler=sampler,
    )
    return {
        int(n): {
            "wins": row["wins"]["rate"],
            "gold": row["gold"],
            "kl": row["kl_measured_nats"],
            "score": row["score"],
        }
        for n, row in rows.items()
    }


def collect(work: Path, plan: Plan, seeds: Sequence[int], best_of_n: Sequence[int]) -> Cells:
    """The cells that are there, in the order of the plan."""
    names = [*plan.cells(), *(f"{BEST_OF} {n}" for n in best_of_n)]
    found: Cells = {}
    for name in names:
        files = {seed: work / f"seed-{seed}/cells/{name}.json" for seed in seeds}
        numbers = {
            seed: json.loads(file.read_text(encoding="utf-8"))
            for seed, file in files.items()
            if file.exists()
        }
        if numbers:
            found[name] = numbers
    return found


def table(cells: Cells) -> str:
    """The cells as a Markdown table: means over seeds, and the 95 % interval of wins (Student's t)."""
    lines = [
        "| method | wins against SFT [95 %] | gold | KL to SFT | distinct-2 | perplexity | CPU s | seeds |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, numbers in cells.items():
        mean, low, high = interval([each["wins"] for each in numbers.values()])
        reach = f" [{low:.3f}, {high:.3f}]" if len(numbers) > 1 else ""
        parts = [_mean(numbers, key, digits) for key, digits in DIGITS.items()]
        lines.append(f"| {name} | {mean:.3f}{reach} | {' | '.join(parts)} | {len(numbers)} |")
    return "\n".join(lines) + "\n"


def _mean(numbers: Mapping[int, Mapping[str, float]], key: str, digits: int) -> str:
    values = [each[key] for each in numbers.values() if key in each]
    return f"{fmean(values):.{digits}f}".replace("-", "−") if values else "–"


def differences(cells: Cells) -> str:
    """Wins of each method's best cell less the best one's, paired by seed, as a Markdown table."""
    best: dict[str, str] = {}
    for name in cells:
        method = BEST_OF if name.startswith(BEST_OF) else name.split(",")[0]
        if method not in best or _wins(cells[name]) > _wins(cells[best[method]]):
            best[method] = name
    first = max(best.values(), key=lambda name: _wins(cells[name]))
    lines = [f"| best cell | wins less those of {first} [95 %] |", "|---|---:|"]
    for name in sorted(best.values(), key=lambda name: -_wins(cells[name])):
        both = sorted(set(cells[name]) & set(cells[first]))
        if name == first or not both:
            continue
        mean, low, high = interval([cells[name][seed]["wins"] - cells[first][seed]["wins"] for seed in both])
        reach = f" [{low:+.3f}, {high:+.3f}]" if len(both) > 1 else ""
        lines.append(f"| {name} | {mean:+.3f}{reach} |".replace("-0", "−0"))
    return "\n".join(lines) + "\n"


def _wins(numbers: Mapping[int, Mapping[str, float]]) -> float:
    return fmean(each["wins"] for each in numbers.values())


def write(cells: Cells, out: Path) -> None:
    """The table, the picture and the numbers."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "methods.md").write_text(f"{table(cells)}\n{differences(cells)}", encoding="utf-8")
    write_json(out / "methods.json", cells)
    picture(cells).savefig(out / "methods.png", dpi=110, metadata={"Software": None})


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--sizes", type=Path, default=Path(__file__).with_suffix(".yaml"))
    parser.add_argument("--run", type=Path, help="a finished run: its environment, base and SFT model")
    parser.add_argument("--work", type=Path, required=True, help="a folder to work in and to continue from")
    parser.add_argument("--out", type=Path, required=True, help="a folder for methods.md, .png and .json")
    options = parser.parse_args()
    logging.set_verbosity_error()
    plan = Plan(**yaml.safe_load(options.sizes.read_text(encoding="utf-8")))
    source = options.run or options.work / "environment"
    if options.run is None:
        lab = Laboratory(source, load(plan.params))
        make_deterministic(lab.params, "methods")
        lab.set_up(None)
    for seed in options.seeds:
        lab = Laboratory(options.work / f"seed-{seed}", load({**plan.params, "seed": seed}))
        make_deterministic(lab.params, "methods")
        lab.set_up(source)
        cells = lab.root / "cells"
        cells.mkdir(parents=True, exist_ok=True)
        run(lab, plan, cells, lambda words, seed=seed: print(f"seed {seed}: {words}", flush=True))
        write(collect(options.work, plan, options.seeds, lab.params.evaluate.best_of), options.out)
    print((options.out / "methods.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
