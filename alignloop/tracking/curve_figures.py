"""Pictures of training curves, and of score against KL (over-optimisation)."""

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from alignloop.tracking.figure_style import COLOURS, FAINT, LINE, label_axes, new_figure, panel_figure

UNITS = {  # of the most informative curves; they are drawn first
    "loss": "nats per token",
    "valid_loss": "nats per token",
    "valid_score": "reward-model score",
    "accuracy": "share of pairs",
    "score": "reward-model score",
    "reward": "score less KL",
    "margin": "implicit score",
    "better_log_ratio": "nats per response",
    "worse_log_ratio": "nats per response",
    "kl": "nats per response",
    "entropy": "nats per token",
    "length": "tokens",
    "ended": "share of responses",
    "distinct_responses": "share of responses",
    "explained_variance": "share of variance",
    "clip_fraction": "share of tokens",
    "ptx_loss": "nats per token",
    "value_loss": "squared score",
    "grad_norm": "",
}
MAX_PANELS = 12


def curves(file: Path) -> Figure | None:
    """Draw up to a dozen curves over the steps, the informative ones first; None if no value ever changes."""
    rows = _rows(file)
    columns = {
        name: [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        for name in (rows[0] if rows else ())
        if name != "step"
    }
    changing = [name for name, points in columns.items() if len({value for _, value in points}) > 1]
    informative_first = dict.fromkeys(name for name in (*UNITS, *changing) if name in changing)
    shown = sorted(list(informative_first)[:MAX_PANELS], key=changing.index)
    if not shown:
        return None
    others = "" if len(shown) == len(columns) else f"; {len(shown)} of {len(columns)} curves"
    title = f"{file.stem} · {file.parent.name}" if file.parent.parent.name == "rounds" else file.stem
    figure, panels = panel_figure(len(shown), f"{title}: {len(rows):,} steps{others}")
    for axes, name in zip(panels, shown, strict=True):
        steps, values = zip(*columns[name], strict=True)
        if len(values) > 50:
            axes.plot(steps, values, color=FAINT, linewidth=0.6)
            values = _running_mean(values, len(values) // 25)
        axes.plot(steps, values, **LINE)
        label_axes(axes, name.replace("_", " "), UNITS.get(name, ""), "step")
    return figure


def overoptimisation(file: Path) -> Figure | None:
    """Draw the reward model's score and the ground-truth (gold) score of PPO's responses over √KL.

    One point a step, in nats per response; None without a point.
    """
    rows = _rows(file)
    if not rows:
        return None
    title = f"{file.parent.name}: scores of PPO's responses by their distance from SFT"
    figure = new_figure(6, 3.6, title)
    figure.subplots_adjust(0.1, 0.15, 0.97, 0.87)
    axes = figure.add_subplot()
    for name, label, colour in (
        ("score", "reward model", COLOURS["policy"]),
        ("gold", "gold", COLOURS["sft"]),
    ):
        points = sorted((float(row["sqrt_kl"]), float(row[name])) for row in rows if row.get(name))
        if points:
            distances, values = zip(*points, strict=True)
            axes.plot(distances, values, "o", color=colour, markersize=3, alpha=0.6)
            mean_label = f"{label} (mean of five steps)"
            axes.plot(distances, _running_mean(values, 2), color=colour, linewidth=1.4, label=mean_label)
    label_axes(axes, "", "mean of a step's responses", "√KL to SFT, in nats per response")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.legend(frameon=False, fontsize=8)
    return figure


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _running_mean(values: Sequence[float], width: int) -> list[float]:
    """The mean of each value with up to `width` values before it and after it."""
    windows = (values[max(0, place - width) : place + width + 1] for place in range(len(values)))
    return [sum(window) / len(window) for window in windows]
