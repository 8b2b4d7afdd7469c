"""Drift as people see it: a table of what moved, and each measure before and now, side by side."""

import warnings
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from alignloop.data.validation import data_docs
from alignloop.files import replacing
from alignloop.lineage.drift.distances import MEASURES, Profile, Profiles, Shift, shares

BEFORE, NOW, INK, LOOK = "#9aa5b1", "#2f6fb0", "#1f2933", "#a40e26"
BARS = 10  # values of a mix that are drawn
LONGEST = 20  # characters of a name


def section(told: str, moved: Sequence[Shift], page: str | None) -> str:
    """What the gate's index says of drift, as HTML."""
    lines = "".join(f'<li class="text-danger">{escape(str(shift))}</li>' for shift in moved)
    link = f'<p><a href="{page}">Before and now, measure by measure</a></p>' if page else ""
    return f"<h2>Drift</h2><p>{escape(told)}.</p>{f'<ul>{lines}</ul>' if lines else ''}{link}"


def write(
    page: Path, before: Profiles, now: Profiles, found: Sequence[Shift], words: str, picture: Path
) -> None:
    """The page, with its picture in it: MLflow shows one file at a time."""
    counts = ", ".join(
        f"{name} {before[name]['rows'] if name in before else 0:,} → {now[name]['rows']:,}" for name in now
    )
    rows = [
        [escape(shift.set), shift.measure, escape(shift.what), shift.before, shift.now, *_numbers(shift)]
        for shift in found
    ]  # fmt: skip
    head = ["set", "measure", "told by", "before", "now", "moved by", "chance", "bound", ""]
    image = b64encode(picture.read_bytes()).decode()
    body = (
        f"<h1>Drift: what changed since the version before</h1><p>Records: {escape(counts)}. Before: {escape(words)}.</p>"
        f'<img src="data:image/png;base64,{image}" alt="Each measure of each set, before and now">{data_docs.table(head, rows)}'
        "<p>“Moved by”: the share of records that would have to be others for both versions to look alike (of agreement: the difference). "
        "“Chance”: about how far two samples of so few records from one source differ. What moved further than its bound "
        "(<code>validate.drift</code> in params.yaml) and chance together is a warning, and stops nothing.</p>"
    )
    data_docs.write_page(page, "Drift", body)


def _numbers(shift: Shift) -> list[str]:
    bound = "none" if shift.bound is None else f"{shift.bound:g}"
    return [
        f"{shift.distance:.3f}",
        f"{shift.chance:.3f}",
        bound,
        '<span class="text-danger">look</span>' if shift.warns else "",
    ]


def draw(before: Profiles, now: Profiles, found: Sequence[Shift], picture: Path) -> None:
    """Small multiples: a line per set, a panel per measure; what warns is titled in red."""
    known = {(shift.set, shift.measure): shift for shift in found}
    sets = [name for name in now if any(shift.set == name for shift in found)]
    measures = [measure for measure in MEASURES if any(shift.measure == measure for shift in found)]
    figure = Figure(figsize=(3.3 * len(measures), 2.5 * len(sets) + 0.4))
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(sets), len(measures), squeeze=False)
    for line, name in zip(panels, sets, strict=True):
        for axes, measure in zip(line, measures, strict=True):
            if shift := known.get((name, measure)):
                _panel(axes, shift, *(_shares(profile[name], measure) for profile in (before, now)))
            else:
                axes.set_axis_off()
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=2, frameon=False, fontsize=9)
    with replacing(picture) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a script that the font lacks is drawn as boxes
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
        figure.savefig(part, format="png", dpi=90, metadata={"Software": None})


def _panel(axes: Axes, shift: Shift, was: Mapping[str, float], has: Mapping[str, float]) -> None:
    values = list(dict.fromkeys([*was, *has]))
    if shift.measure == "length":
        values.sort(key=int)
    else:
        values = sorted(values, key=lambda value: -was.get(value, 0.0) - has.get(value, 0.0))[:BARS][::-1]
    for mix, place, colour, label in ((was, 0.2, BEFORE, "before"), (has, -0.2, NOW, "now")):
        heights = [mix.get(value, 0.0) for value in values]
        if shift.measure == "length":
            axes.plot(range(len(values)), heights, color=colour, linewidth=1.6, label=label)
        else:
            axes.barh([row + place for row in range(len(values))], heights, 0.4, color=colour, label=label)
    if shift.measure == "length":
        shown = range(0, len(values), max(1, len(values) // 6))
        axes.set_xticks(list(shown), [values[place] for place in shown])
        axes.set_xlabel("characters", fontsize=8, color=INK)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    else:
        axes.set_yticks(range(len(values)), [_short(value) for value in values])
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(labelsize=7.5, colors=INK, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    bound = "" if shift.bound is None else f" (bound {shift.bound:g})"
    title = f"{shift.set}: {shift.measure}\nmoved by {shift.distance:.3f}{bound}"
    axes.set_title(title, fontsize=9, loc="left", color=LOOK if shift.warns else INK)


def _short(value: str) -> str:
    """A name that leaves the bars their room, and is no formula."""
    return (value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…").replace("$", r"\$")


def _shares(profile: Profile, measure: str) -> dict[str, float]:
    if measure == "agreement":
        return {"pairs ordered alike": profile["agreement"]["points"] / profile["agreement"]["pairs"]}
    return shares(profile, measure)
