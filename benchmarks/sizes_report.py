"""The tables and the picture of the sizes benchmark."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from alignloop.core.metrics import win_rate, win_rate_of_outcomes
from alignloop.evaluation.results_table import with_interval
from alignloop.markdown import number, table
from benchmarks.scaling_law import fit, intervals

Cells = Sequence[Mapping[str, Any]]


def report(results: Mapping[str, Any], draws: int) -> str:
    """The tables in Markdown: loss and accuracy by size, the law, and the aligned models' wins."""
    cells = results["cells"]
    parts = [_losses(cells), _law(cells, draws), _accuracies(cells), _wins(results["aligned"], cells)]
    return "\n\n".join(part for part in parts if part) + "\n"


def columns_of(cells: Cells) -> tuple[list[float], list[float], list[float]]:
    """Weights, tokens and losses of the cells."""
    return (
        [cell["weights"] for cell in cells],
        [cell["tokens"] for cell in cells],
        [cell["loss"] for cell in cells],
    )


def _by(cells: Cells, name: str) -> dict[Any, list[Mapping[str, Any]]]:
    return {
        value: [cell for cell in cells if cell[name] == value]
        for value in sorted({cell[name] for cell in cells})
    }


def _losses(cells: Cells) -> str:
    """Mean loss by weights and tokens, and its range over seeds."""
    tokens = [f"{of[0]['tokens']:,} tokens" for of in _by(cells, "share").values()]
    rows = [["width", "weights", *tokens]]
    for width, own in _by(cells, "width").items():
        losses = [[cell["loss"] for cell in of] for of in _by(own, "share").values()]
        spread = [f"{number(fmean(of), 3)} ({number(min(of), 3)} to {number(max(of), 3)})" for of in losses]
        rows.append([str(width), f"{own[0]['weights']:,}", *spread])
    return table(rows)


def _tells_a_law(cells: Cells) -> bool:
    """Whether there are more cells than numbers of the law, of several sizes and budgets."""
    return min(len(_by(cells, name)) for name in ("width", "share")) > 1 and len(cells) > 5


def _law(cells: Cells, draws: int) -> str:
    if not _tells_a_law(cells):
        return ""
    found = intervals(*columns_of(cells), draws=draws, seed=1)
    words = {
        "floor": "floor E, nats per token",
        "alpha": "exponent of weights, α",
        "beta": "exponent of tokens, β",
        "frontier": "exponent of compute, αβ/(α + β)",
    }
    rows = [["L = E + A/N^α + B/D^β", "fitted [95 %]"]]
    for name, text in words.items():
        best, low, high = found[name]
        rows.append([text, f"{number(best, 3)} [{number(low, 3)}, {number(high, 3)}]"])
    return table(rows)


def accuracies(cells: Cells) -> dict[int, dict[str, dict[str, float]]]:
    """By weights and shots: the share of facts that are right, over all seeds, with its 95 % interval."""
    whole = [cell for cell in cells if cell["share"] == max(each["share"] for each in cells)]
    return {
        own[0]["weights"]: {
            shots: win_rate_of_outcomes(
                [float(one) for cell in own for one in cell["right"][shots]]
            ).as_dict()
            for shots in own[0]["right"]
        }
        for own in _by(whole, "width").values()
    }


def _accuracies(cells: Cells) -> str:
    found = accuracies(cells)
    shots = list(next(iter(found.values())))
    rows = [["weights", *(f"{each} shots" for each in shots)]]
    rows += [[f"{weights:,}", *(with_interval(of[each]) for each in shots)] for weights, of in found.items()]
    return table(rows)


def _wins(aligned: Sequence[Mapping[str, Any]], cells: Cells) -> str:
    """Gold of each small model, and its win rate against each base model, its own and the larger ones."""
    if not aligned:
        return ""
    weights = {str(cell["width"]): cell["weights"] for cell in cells}
    widths = list(aligned[0]["bases"])
    rows = [["weights", "model", "gold", *(f"against base of {weights[width]:,}" for width in widths)]]
    for each in aligned:
        for name in ("sft", "ppo"):
            wins = [with_interval(win_rate(each[name], each["bases"][width]).as_dict()) for width in widths]
            own = [f"{weights[str(each['small'])]:,}", {"sft": "SFT", "ppo": "PPO"}[name]]
            rows.append([*own, number(fmean(each[name]), 3), *wins])
    for width, golds in aligned[0]["bases"].items():
        rows.append([f"{weights[width]:,}", "base", number(fmean(golds), 3), *("–" for _ in widths)])
    return table(rows)


def picture(results: Mapping[str, Any], draws: int) -> Figure:
    """Loss against weights and against compute (both logarithmic, less the floor), and accuracy."""
    cells = results["cells"]
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    panels = figure.subplots(1, 3)
    weights, tokens, _ = (np.array(column) for column in columns_of(cells))
    law = fit(*columns_of(cells)) if _tells_a_law(cells) else None
    for own in _by(cells, "share").values():
        x, d, y = (np.array(column) for column in columns_of(own))
        line = panels[0].plot(x, y, "o", markersize=4, label=f"{d[0]:,.0f} tokens")[0]
        if law:
            sizes = np.geomspace(weights.min(), weights.max(), 60)
            panels[0].plot(
                sizes, law.loss(sizes, np.full_like(sizes, d[0])), color=line.get_color(), linewidth=1
            )
    panels[0].set_xlabel("weights N")
    for own in _by(cells, "width").values():
        x, d, y = (np.array(column) for column in columns_of(own))
        panels[1].plot(6 * x * d, y, "o", markersize=4, label=f"{x[0]:,.0f} weights")
    if law:
        compute = np.geomspace((6 * weights * tokens).min(), (6 * weights * tokens).max(), 60)
        panels[1].plot(compute, law.least_loss(compute), "k--", linewidth=1, label="least, by the law")
    panels[1].set_xlabel("compute 6·N·D, FLOPs")
    for axes in panels[:2]:
        axes.set(xscale="log", yscale="log", ylabel="validation loss, nats per token")
        axes.yaxis.set_major_formatter("{x:.2f}")
        axes.yaxis.set_minor_formatter("{x:.2f}")
    found = accuracies(cells)
    for shots in next(iter(found.values())):
        rates = [of[shots] for of in found.values()]
        middle = [rate["rate"] for rate in rates]
        ends = [
            [m - r["low"] for m, r in zip(middle, rates, strict=True)],
            [r["high"] - m for m, r in zip(middle, rates, strict=True)],
        ]
        panels[2].errorbar(
            [*found], middle, yerr=ends, marker="o", markersize=4, linewidth=1, label=f"{shots} shots"
        )
    panels[2].axhline(1 / 8, color="grey", linewidth=0.8, linestyle=":", label="chance")
    panels[2].set(xscale="log", xlabel="weights N", ylabel="facts named rightly")
    for axes in panels:
        axes.legend(fontsize=8, frameon=False)
        axes.tick_params(labelsize=8, which="both")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
