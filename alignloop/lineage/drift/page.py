"""The drift page: a table of the shifts, and a picture of each measure before and now."""

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

BEFORE, NOW = "#9aa5b1", "#2f6fb0"
INK, WARNING = "#1f2933", "#a40e26"
MAX_BARS = 10
MAX_CHARACTERS = 20  # of a value's name


def index_section(summary: str, warnings: Sequence[Shift], page: str | None) -> str:
    """Return the section about drift on the gate's index page, as HTML."""
    lines = "".join(f'<li class="text-danger">{escape(str(shift))}</li>' for shift in warnings)
    link = f'<p><a href="{page}">Before and now, measure by measure</a></p>' if page else ""
    return f"<h2>Drift</h2><p>{escape(summary)}.</p>{f'<ul>{lines}</ul>' if lines else ''}{link}"


def write(
    page: Path,
    before: Profiles,
    now: Profiles,
    shifts: Sequence[Shift],
    *,
    label: str,
    picture: Path,
    title: str = "Drift: what changed since the version before",
) -> None:
    """Write the page with its picture embedded: MLflow shows one file at a time. `label` names `before`."""
    counts = ", ".join(
        f"{name} {before[name]['rows'] if name in before else 0:,} → {now[name]['rows']:,}" for name in now
    )
    rows = [
        [
            escape(shift.dataset),
            shift.measure,
            escape(shift.statistic),
            shift.before,
            shift.now,
            *_numbers(shift),
        ]
        for shift in shifts
    ]
    head = ["set", "measure", "number", "before", "now", "moved by", "chance", "bound", ""]
    image = b64encode(picture.read_bytes()).decode()
    body = (
        f"<h1>{escape(title)}</h1>"
        f"<p>Records: {escape(counts)}. Before: {escape(label)}.</p>"
        f'<img src="data:image/png;base64,{image}" alt="Each measure of each set, before and now">'
        f"{data_docs.table(head, rows)}"
        "<p>“Moved by”: the share of records that would have to change for both versions to be equal "
        "(for agreement: the difference). “Chance”: about how far two samples of this size from one source "
        "differ. A measure that moved by more than its bound (<code>validate.drift</code> in params.yaml) "
        "plus chance is a warning; it stops no run.</p>"
    )
    data_docs.write_page(page, "Drift", body)


def _numbers(shift: Shift) -> list[str]:
    bound = "none" if shift.bound is None else f"{shift.bound:g}"
    warning = '<span class="text-danger">look</span>' if shift.exceeds_bound else ""
    return [f"{shift.distance:.3f}", f"{shift.chance:.3f}", bound, warning]


def draw(before: Profiles, now: Profiles, shifts: Sequence[Shift], picture: Path) -> None:
    """Draw a row of panels per set, one panel per measure; warnings have a red title."""
    by_panel = {(shift.dataset, shift.measure): shift for shift in shifts}
    sets = [name for name in now if any(shift.dataset == name for shift in shifts)]
    measures = [measure for measure in MEASURES if any(shift.measure == measure for shift in shifts)]
    figure = Figure(figsize=(3.3 * len(measures), 2.5 * len(sets) + 0.4))
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(sets), len(measures), squeeze=False)
    for line, name in zip(panels, sets, strict=True):
        for axes, measure in zip(line, measures, strict=True):
            if shift := by_panel.get((name, measure)):
                _panel(axes, shift, *(_shares(profile[name], measure) for profile in (before, now)))
            else:
                axes.set_axis_off()
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=2, frameon=False, fontsize=9)
    with replacing(picture) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # letters that the font lacks are drawn as boxes
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
        figure.savefig(part, format="png", dpi=90, metadata={"Software": None})


def _panel(axes: Axes, shift: Shift, was: Mapping[str, float], has: Mapping[str, float]) -> None:
    values = list(dict.fromkeys([*was, *has]))
    if shift.measure == "length":
        values.sort(key=int)
    else:
        values = sorted(values, key=lambda value: -was.get(value, 0.0) - has.get(value, 0.0))[:MAX_BARS][::-1]
    for distribution, place, colour, label in ((was, 0.2, BEFORE, "before"), (has, -0.2, NOW, "now")):
        heights = [distribution.get(value, 0.0) for value in values]
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
        axes.set_yticks(range(len(values)), [_label(value) for value in values])
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(labelsize=7.5, colors=INK, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    bound = "" if shift.bound is None else f" (bound {shift.bound:g})"
    title = f"{shift.dataset}: {shift.measure}\nmoved by {shift.distance:.3f}{bound}"
    axes.set_title(title, fontsize=9, loc="left", color=WARNING if shift.exceeds_bound else INK)


def _label(value: str) -> str:
    """A short name, in which matplotlib finds no formula."""
    return (value if len(value) <= MAX_CHARACTERS else f"{value[: MAX_CHARACTERS - 1]}…").replace("$", r"\$")


def _shares(profile: Profile, measure: str) -> dict[str, float]:
    if measure == "agreement":
        return {"pairs ordered alike": profile["agreement"]["points"] / profile["agreement"]["pairs"]}
    return shares(profile, measure)
