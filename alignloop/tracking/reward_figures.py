"""Picture of a reward model's calibration and accuracy."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from alignloop.tracking.figure_style import COLOURS, FAINT, INK, LINE, label_axes, new_figure, remove_frame


def agreement(report: Mapping[str, Any], round: str) -> Figure | None:
    """Draw calibration, and accuracy by rank distance and by category; None without held-out rankings."""
    if not report["users"]["pairs"]:
        return None
    figure = new_figure(10.5, 3.6, _title(report, round))
    figure.subplots_adjust(0.07, 0.16, 0.98, 0.78, wspace=0.55)
    calibration, distances, categories = (figure.add_subplot(1, 3, place) for place in (1, 2, 3))
    _draw_calibration(calibration, report["calibration"])
    by_accuracy = sorted(report["categories"].items(), key=lambda item: item[1]["accuracy"] or 0.0)
    _draw_accuracy(distances, report["rank_distance"], "by ranks apart")
    _draw_accuracy(categories, dict(by_accuracy), "by category")
    return figure


def _title(report: Mapping[str, Any], round: str) -> str:
    users = report["users"]
    right = f"right on {users['accuracy']:.1%} of {users['pairs']:,} pairs of held-out users"
    correlations = ", ".join(
        f"{source} {value:+.2f}"
        for source, value in report["length_correlation"].items()
        if value is not None
    )
    return f"reward model {round}: {right}; correlation with response length: {correlations or 'none'}"


def _draw_calibration(axes: Axes, calibration: Mapping[str, Any]) -> None:
    bins = calibration["bins"]
    most = max(each["pairs"] for each in bins)
    chances, right = [each["chance"] for each in bins], [each["right"] for each in bins]
    axes.plot([0.5, 1], [0.5, 1], color=FAINT, linewidth=1, linestyle=":")
    axes.plot(chances, right, **LINE)
    axes.scatter(chances, right, [6 + 60 * each["pairs"] / most for each in bins], COLOURS["policy"])
    label_axes(
        axes,
        f"calibration: error {calibration['expected_error']:.3f}",
        "share right",
        "probability of the preferred response",
    )


def _draw_accuracy(axes: Axes, groups: Mapping[str, Any], by: str) -> None:
    shown = {name: group for name, group in groups.items() if group["pairs"]}
    accuracies = [group["accuracy"] for group in shown.values()]
    labels = [f"{name.replace('_', ' ')}  ({group['pairs']:,})" for name, group in shown.items()]
    axes.barh(range(len(shown)), accuracies, height=0.6, color=COLOURS["policy"])
    axes.axvline(0.5, color=FAINT, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(shown)), labels)
    axes.set_xlim(0, 1)
    axes.set_title(f"accuracy {by} (pairs)", fontsize=9.5, color=INK, loc="left")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="x", color="#eef0f3", linewidth=0.8)
    remove_frame(axes)
