"""Pictures of what a stage measured: training curves, a reward model's agreement, behaviours of a round, and the rounds side by side."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alignloop.files import replacing

INK, FAINT = "#1f2933", "#9aa5b1"
COLOURS = {"base": "#b8c0cc", "sft": "#f0a04b", "policy": "#2f6fb0"}
UNITS = {  # of the curves that tell most; they are drawn first
    "loss": "nats per token",
    "valid_loss": "nats per token",
    "valid_score": "reward-model score",
    "accuracy": "share of pairs",
    "score": "reward-model score",
    "reward": "score less KL",
    "kl": "nats per response",
    "entropy": "nats per token",
    "length": "tokens",
    "ended": "share of answers",
    "distinct_responses": "share of answers",
    "explained_variance": "share of variance",
    "clip_fraction": "share of tokens",
    "ptx_loss": "nats per token",
    "value_loss": "squared score",
    "grad_norm": "",
}
MOST, COLUMNS = 12, 4
STYLE: dict[str, Any] = {"color": COLOURS["policy"], "linewidth": 1.4}


def draw(source: Path, picture: Path) -> Path | None:
    """Draw what `source` holds (curves, agreement of a reward model, an evaluation, a release) into `picture`; None if it holds nothing."""
    if source.name == "overoptimisation.csv":
        figure = overoptimisation(source)
    elif source.suffix == ".csv":
        figure = curves(source)
    elif source.name == "evaluate.json":
        figure = behaviours(json.loads(source.read_text(encoding="utf-8")), source.parent.name)
    elif source.name == "reward.json":
        figure = agreement(json.loads(source.read_text(encoding="utf-8"))["agreement"], source.parent.name)
    elif source.name == "release.json":
        figure = rounds(json.loads(source.read_text(encoding="utf-8")))
    else:
        return None
    if figure is None:
        return None
    with replacing(picture) as part:
        figure.savefig(part, format="png", dpi=110, metadata={"Software": None})
    return picture


def curves(file: Path) -> Figure | None:
    """Small multiples over the steps, at most a dozen: the telling columns first, and none that never moves."""
    rows = _rows(file)
    columns = {
        name: [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        for name in (rows[0] if rows else ())
        if name != "step"
    }
    moving = [name for name, points in columns.items() if len({value for _, value in points}) > 1]
    telling = dict.fromkeys(name for name in (*UNITS, *moving) if name in moving)
    shown = sorted(list(telling)[:MOST], key=moving.index)
    if not shown:
        return None
    others = "" if len(shown) == len(columns) else f"; {len(shown)} of {len(columns)} curves"
    name = f"{file.stem} · {file.parent.name}" if file.parent.parent.name == "rounds" else file.stem
    figure, panels = _panels(len(shown), f"{name}: {len(rows):,} steps{others}")
    for axes, name in zip(panels, shown, strict=True):
        steps, values = zip(*columns[name], strict=True)
        if len(values) > 50:
            axes.plot(steps, values, color=FAINT, linewidth=0.6)
            values = _running_mean(values, len(values) // 25)
        axes.plot(steps, values, **STYLE)
        _label(axes, name.replace("_", " "), UNITS.get(name, ""), "step")
    return figure


def agreement(report: Mapping[str, Any], round: str) -> Figure | None:
    """Calibration, and accuracy by rank distance and by category; None where no ranking was held out."""
    if not report["users"]["pairs"]:
        return None
    users, length = report["users"], report["length_correlation"]
    right = f"right on {users['accuracy']:.1%} of {users['pairs']:,} pairs of users never trained on"
    with_length = ", ".join(f"{who} {number:+.2f}" for who, number in length.items() if number is not None)
    figure = _figure(
        10.5,
        3.6,
        f"reward model {round}: {right}; correlation with an answer's length: {with_length or 'none'}",
    )
    figure.subplots_adjust(0.07, 0.16, 0.98, 0.78, wspace=0.55)
    curve, distances, categories = (figure.add_subplot(1, 3, place) for place in (1, 2, 3))
    bins = report["calibration"]["bins"]
    most = max(each["pairs"] for each in bins)
    curve.plot([0.5, 1], [0.5, 1], color=FAINT, linewidth=1, linestyle=":")
    curve.plot([each["chance"] for each in bins], [each["right"] for each in bins], **STYLE)
    curve.scatter(
        [each["chance"] for each in bins],
        [each["right"] for each in bins],
        [6 + 60 * each["pairs"] / most for each in bins],
        COLOURS["policy"],
    )
    _label(
        curve,
        f"calibration: error {report['calibration']['expected_error']:.3f}",
        "share right",
        "chance given to the favoured answer",
    )
    for axes, groups, title in (
        (distances, report["rank_distance"], "by ranks apart"),
        (
            categories,
            dict(sorted(report["categories"].items(), key=lambda item: item[1]["accuracy"] or 0.0)),
            "by category",
        ),
    ):
        shown = {name: group for name, group in groups.items() if group["pairs"]}
        axes.barh(
            range(len(shown)),
            [group["accuracy"] for group in shown.values()],
            height=0.6,
            color=COLOURS["policy"],
        )
        axes.axvline(0.5, color=FAINT, linewidth=1, linestyle=":")
        axes.set_yticks(
            range(len(shown)),
            [f"{name.replace('_', ' ')}  ({group['pairs']:,})" for name, group in shown.items()],
        )
        axes.set_xlim(0, 1)
        axes.set_title(f"accuracy {title} (pairs)", fontsize=9.5, color=INK, loc="left")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(axis="x", color="#eef0f3", linewidth=0.8)
        _bare(axes)
    return figure


def overoptimisation(file: Path) -> Figure | None:
    """The reward model's score and gold of PPO's answers, a point a step, over √KL; None without a point."""
    rows = _rows(file)
    if not rows:
        return None
    figure = _figure(6, 3.6, f"{file.parent.name}: what PPO's answers earn, the further it is from SFT")
    figure.subplots_adjust(0.1, 0.15, 0.97, 0.87)
    axes = figure.add_subplot()
    for name, label, colour in (
        ("score", "reward model", COLOURS["policy"]),
        ("gold", "gold", COLOURS["sft"]),
    ):
        points = sorted((float(row["sqrt_kl"]), float(row[name])) for row in rows if row.get(name))
        if points:
            places, values = zip(*points, strict=True)
            axes.plot(places, values, "o", color=colour, markersize=3, alpha=0.6)
            axes.plot(
                places,
                _running_mean(values, 2),
                color=colour,
                linewidth=1.4,
                label=f"{label} (mean of five steps)",
            )
    _label(axes, "", "mean of a step's answers", "√KL to SFT, in nats per response")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.legend(frameon=False, fontsize=8)
    return figure


def behaviours(report: Mapping[str, Any], round: str) -> Figure | None:
    """Gold's pass rate by behaviour, for base, SFT and the round's policy; None without gold."""
    models: dict[str, Any] = report["models"]
    names = [
        name for name, numbers in models["policy"]["behaviours"].items() if numbers["passed"] is not None
    ]
    if not names:
        return None
    names.sort(key=lambda name: models["policy"]["behaviours"][name]["passed"])
    height = 1.1 + 0.55 * len(names)
    figure = _figure(7.5, height, f"{round}: answers that pass gold, by behaviour")
    figure.subplots_adjust(0.25, 0.4 / height, 0.83, 1 - 0.5 / height)
    axes = figure.add_subplot()
    for place, (model, colour) in enumerate(COLOURS.items()):
        shares = [models[model]["behaviours"][name]["passed"] for name in names]
        heights = [row + (place - 1) * 0.26 for row in range(len(names))]
        axes.barh(
            heights,
            shares,
            height=0.24,
            color=colour,
            label={"base": "base", "sft": "SFT", "policy": f"policy {round}"}[model],
        )
    axes.set_yticks(
        range(len(names)),
        [f"{name.replace('_', ' ')}  (n {models['policy']['behaviours'][name]['n']})" for name in names],
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    _bare(axes)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9
    )
    return figure


def rounds(report: Mapping[str, Any]) -> Figure | None:
    """How the policy changed from SFT over the rounds, each measure in a picture of its own."""
    rows: dict[str, Any] = {name: row for name, row in report["rows"].items() if name != "base"}
    labels = ["SFT" if name == "sft" else name for name in rows]
    measures = {
        "gold score": ("gold", ""),
        "wins against SFT": ("win_rate_vs_sft", "share, 95 % interval"),
        "wins against the round before": ("win_rate_vs_before", "share, 95 % interval"),
        "answers made up": ("made_up", "share of answers"),
        "KL to SFT": ("kl_to_sft_nats", "nats per response"),
        "distinct-2": ("distinct_2", "share of bigrams"),
        "length": ("length", "tokens"),
        "corpus perplexity": ("perplexity", ""),
    }
    shown = {
        title: part
        for title, part in measures.items()
        if any(row[part[0]] is not None for row in rows.values())
    }
    figure, panels = _panels(
        len(shown), "What the rounds changed, on prompts of users never trained on", 2
    )  # as wide as a version's page
    for axes, (title, (key, unit)) in zip(panels, shown.items(), strict=True):
        points = [(place, row[key]) for place, row in enumerate(rows.values()) if row[key] is not None]
        places = [place for place, _ in points]
        if isinstance(points[0][1], Mapping):
            rates = [win["rate"] for _, win in points]
            reach = [
                [win["rate"] - win["low"] for _, win in points],
                [win["high"] - win["rate"] for _, win in points],
            ]
            axes.errorbar(places, rates, reach, marker="o", markersize=5, capsize=3, **STYLE)
            axes.axhline(0.5, color=FAINT, linewidth=1, linestyle=":")
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        else:
            axes.plot(places, [value for _, value in points], marker="o", markersize=5, **STYLE)
        axes.set_xlim(-0.3, len(labels) - 0.7)
        axes.set_xticks(range(len(labels)), labels)
        _label(axes, title, unit, "")
    return figure


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _panels(count: int, title: str, most: int = COLUMNS) -> tuple[Figure, Sequence[Axes]]:
    columns = min(most, count)
    lines = -(-count // columns)
    width, height = 3.1 * columns, 0.45 + 2.1 * lines
    figure = _figure(width, height, title)
    # margins in inches, set by hand: a layout engine would draw everything several times
    figure.subplots_adjust(
        0.75 / width, 0.5 / height, 1 - 0.15 / width, 1 - 0.7 / height, wspace=0.36, hspace=0.52
    )
    return figure, [figure.add_subplot(lines, columns, place + 1) for place in range(count)]


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure((width, height))
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, color=INK, x=0.15 / width, y=1 - 0.1 / height, ha="left", va="top")
    return figure


def _label(axes: Axes, title: str, unit: str, below: str) -> None:
    axes.set_title(title, fontsize=9.5, color=INK, loc="left")
    axes.set_ylabel(unit, fontsize=8, color=INK)
    axes.set_xlabel(below, fontsize=8, color=INK)
    axes.grid(color="#eef0f3", linewidth=0.8)
    if below:
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _running_mean(values: Sequence[float], width: int) -> list[float]:
    """The mean of up to `width` values before and after each."""
    return [
        sum(part) / len(part)
        for place in range(len(values))
        for part in [values[max(0, place - width) : place + width + 1]]
    ]
