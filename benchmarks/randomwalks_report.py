"""Table and picture of the random-walks benchmark's results over seeds."""

from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

COLUMNS = {  # of a seed's numbers: heading and form
    "sft": ("after SFT", ".3f"),
    "sft_greedy": ("greedy", ".3f"),
    "ppo": ("after PPO", ".3f"),
    "ppo_greedy": ("greedy", ".3f"),
    "rollouts_until_0.9": ("rollouts until 0.9", ".0f"),
    "rollouts_per_cpu_second": ("rollouts a second", ".1f"),
    "learner_tokens_per_cpu_second": ("learner tokens a second", ".0f"),
    "reward_model_accuracy": ("reward model's accuracy", ".3f"),
    "score": ("its score", ".2f"),
}


def table(results: list[dict[str, Any]]) -> str:
    """A row per seed, and their mean; a second is one of processor time."""
    columns = [
        name
        for name in COLUMNS
        if name in results[0] and (name != "score" or "reward_model_accuracy" in results[0])
    ]
    lines = [
        "| seed | " + " | ".join(COLUMNS[name][0] for name in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    rows = [(str(result["seed"]), result) for result in results]
    known = {name: [result[name] for result in results if result[name] is not None] for name in columns}
    mean = {name: fmean(values) if len(values) == len(results) else None for name, values in known.items()}
    for name, row in [*rows, ("mean", mean)]:
        cells = (
            "never" if row[column] is None else format(row[column], COLUMNS[column][1]) for column in columns
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def picture(results: list[dict[str, Any]], file: Path) -> None:
    """Optimality over rollouts, a line per seed, with the levels to reach."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for result in results:
        axes.plot(
            *zip(
                *[(rollouts, value) for rollouts, value, _ in [(0, result["sft"], 0), *result["curve"]]],
                strict=True,
            ),
            linewidth=1.2,
        )
    axes.axhline(0.96, color="#9aa5b1", linewidth=0.8)
    axes.axhline(0.9, color="#9aa5b1", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="training rollouts",
        ylabel="optimality, 100 responses per start",
        title="Random walks, one line a seed",
        ylim=(0.2, 1),
    )
    figure.savefig(file, dpi=110, metadata={"Software": None})
