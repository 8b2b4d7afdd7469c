"""Pictures of an evaluation by behaviour, and of the rounds of a release side by side."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from alignloop.tracking.figure_style import (
    COLOURS,
    FAINT,
    LINE,
    label_axes,
    new_figure,
    panel_figure,
    remove_frame,
)


def behaviours(report: Mapping[str, Any], round: str) -> Figure | None:
    """Draw the share of responses that pass the ground-truth (gold) score, by behaviour and model.

    The models are base, SFT and the round's policy. None without a gold score.
    """
    models: dict[str, Any] = report["models"]
    names = [
        name for name, numbers in models["policy"]["behaviours"].items() if numbers["passed"] is not None
    ]
    if not names:
        return None
    names.sort(key=lambda name: models["policy"]["behaviours"][name]["passed"])
    height = 1.1 + 0.55 * len(names)
    figure = new_figure(7.5, height, f"{round}: responses that pass gold, by behaviour")
    figure.subplots_adjust(0.25, 0.4 / height, 0.83, 1 - 0.5 / height)
    axes = figure.add_subplot()
    labels = {"base": "base", "sft": "SFT", "policy": f"policy {round}"}
    for place, (model, colour) in enumerate(COLOURS.items()):
        shares = [models[model]["behaviours"][name]["passed"] for name in names]
        heights = [row + (place - 1) * 0.26 for row in range(len(names))]
        axes.barh(heights, shares, height=0.24, color=colour, label=labels[model])
    axes.set_yticks(
        range(len(names)),
        [f"{name.replace('_', ' ')}  (n {models['policy']['behaviours'][name]['n']})" for name in names],
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    remove_frame(axes)
    handles, texts = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], texts[::-1], loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9
    )
    return figure


def rounds(report: Mapping[str, Any]) -> Figure | None:
    """Draw how the policy changed from SFT over the rounds, one panel a metric."""
    rows: dict[str, Any] = {name: row for name, row in report["rows"].items() if name != "base"}
    labels = ["SFT" if name == "sft" else name for name in rows]
    metrics = {
        "gold score": ("gold", ""),
        "wins against SFT": ("win_rate_vs_sft", "share, 95 % interval"),
        "wins against the round before": ("win_rate_vs_before", "share, 95 % interval"),
        "responses made up": ("made_up", "share of responses"),
        "KL to SFT": ("kl_to_sft_nats", "nats per response"),
        "distinct-2": ("distinct_2", "share of bigrams"),
        "length": ("length", "tokens"),
        "corpus perplexity": ("perplexity", ""),
    }
    shown = {
        title: metric
        for title, metric in metrics.items()
        if any(row[metric[0]] is not None for row in rows.values())
    }
    # two columns: as wide as the page of a model version
    figure, panels = panel_figure(len(shown), "What the rounds changed, on prompts of held-out users", 2)
    for axes, (title, (key, unit)) in zip(panels, shown.items(), strict=True):
        points = [(place, row[key]) for place, row in enumerate(rows.values()) if row[key] is not None]
        places = [place for place, _ in points]
        if isinstance(points[0][1], Mapping):
            rates = [win["rate"] for _, win in points]
            below = [win["rate"] - win["low"] for _, win in points]
            above = [win["high"] - win["rate"] for _, win in points]
            axes.errorbar(places, rates, [below, above], marker="o", markersize=5, capsize=3, **LINE)
            axes.axhline(0.5, color=FAINT, linewidth=1, linestyle=":")
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        else:
            axes.plot(places, [value for _, value in points], marker="o", markersize=5, **LINE)
        axes.set_xlim(-0.3, len(labels) - 0.7)
        axes.set_xticks(range(len(labels)), labels)
        label_axes(axes, title, unit, "")
    return figure
