"""The figure of the claims benchmark: a panel per claim, with a line or point per seed."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from matplotlib.figure import Figure


def picture(results: Sequence[dict[str, Any]], titles: Mapping[str, str]) -> Figure:
    """A panel per claim, by name, with its title and a line or point per seed."""
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    panels = figure.subplots(2, 4).flatten()
    for axes, (name, title) in zip(panels, titles.items(), strict=False):
        for result in results:
            _draw(axes, name, result)
        axes.set_title(title, fontsize=10, loc="left")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_axis_off()
    figure.suptitle(
        f"The papers' claims in the built-in environment: {len(results)} seeds, a colour each",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    return figure


def _draw(axes: Any, name: str, result: dict[str, Any]) -> None:
    def lines(values: dict[str, float], unit: str) -> None:
        axes.plot(range(len(values)), [*values.values()], marker="o", markersize=3, linewidth=1)
        axes.set_xticks(range(len(values)), [*values], fontsize=8)
        axes.set_ylabel(unit, fontsize=8)

    if name == "over-optimisation":
        path = result["path"]
        axes.plot(
            [sqrt(max(step["kl"], 0.0)) for step in path],
            [step["gold"] for step in path],
            marker=".",
            linewidth=0.8,
        )
        axes.set_xlabel("√KL to SFT, nats per response", fontsize=8)
        axes.set_ylabel("gold of the rollouts", fontsize=8)
    elif name == "rankings":
        lines(result["rankings"], "accuracy on held-out labelers' pairs")
    elif name == "batches":
        lines(
            {key: result["batches"][key] for key in ("shuffled", "k-way")},
            "accuracy on held-out labelers' pairs",
        )
    elif name == "order":
        lines({key: result["policies"][key]["gold"] for key in ("base", "sft", "ppo")}, "gold, test users")
    elif name == "fresh":
        lines(
            {key: result["policies"][key]["gold"] for key in ("ppo", "static", "fresh")}, "gold, test users"
        )
    elif name == "ptx":
        lines(
            {key: result["policies"][key]["perplexity"] for key in ("base", "sft", "ppo", "no-ptx")},
            "corpus perplexity",
        )
    else:
        lines(result["demonstrations"], "mean score of demonstrations")
