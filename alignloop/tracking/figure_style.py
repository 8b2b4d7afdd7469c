"""Colours, axes and panels shared by the pictures of curves, reward models and evaluations."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, FAINT = "#1f2933", "#9aa5b1"
COLOURS = {"base": "#b8c0cc", "sft": "#f0a04b", "policy": "#2f6fb0"}
COLUMNS = 4
LINE: dict[str, Any] = {"color": COLOURS["policy"], "linewidth": 1.4}


def panel_figure(count: int, title: str, max_columns: int = COLUMNS) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of `count` panels of equal size, in rows."""
    columns = min(max_columns, count)
    lines = -(-count // columns)
    width, height = 3.1 * columns, 0.45 + 2.1 * lines
    figure = new_figure(width, height, title)
    # margins in inches, set by hand: a layout engine would draw everything several times
    figure.subplots_adjust(
        left=0.75 / width,
        bottom=0.5 / height,
        right=1 - 0.15 / width,
        top=1 - 0.7 / height,
        wspace=0.36,
        hspace=0.52,
    )
    return figure, [figure.add_subplot(lines, columns, place + 1) for place in range(count)]


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure, in inches, with its title at the top left."""
    figure = Figure((width, height))
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, color=INK, x=0.15 / width, y=1 - 0.1 / height, ha="left", va="top")
    return figure


def label_axes(axes: Axes, title: str, unit: str, below: str) -> None:
    """Set the title, the unit on the left and the text below, and draw a grid."""
    axes.set_title(title, fontsize=9.5, color=INK, loc="left")
    axes.set_ylabel(unit, fontsize=8, color=INK)
    axes.set_xlabel(below, fontsize=8, color=INK)
    axes.grid(color="#eef0f3", linewidth=0.8)
    if below:
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    remove_frame(axes)


def remove_frame(axes: Axes) -> None:
    """Leave only the bottom line of the frame."""
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
