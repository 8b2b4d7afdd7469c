"""Charts as SVG for pages without scripts: bars and lines over time, shares with their intervals.

Colours are classes of static/watch.css, since the pages allow no styles within them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 150
LEFT, RIGHT = 40, 8
TOP, BOTTOM = 8, 20
ROW = 40  # of a share with its name above it
STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Series:
    """A value for each time, None where there is none; `name` is its class too: one word."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Interval:
    """A share from 0 to 1 with its interval, and what it is of."""

    name: str
    share: float | None
    low: float
    high: float


def bars(times: Sequence[str], series: Sequence[Series]) -> Markup:
    """Bars on top of each other, one stack for each time."""
    sums = [sum(each.values[place] or 0 for each in series) for place in range(len(times))]
    top = nice_top(max(sums, default=0))
    width = (WIDTH - LEFT - RIGHT) / max(len(times), 1)
    parts = [_axes(times, top)]
    for place, time in enumerate(times):
        height = 0.0
        for each in series:
            value = each.values[place] or 0
            if value:
                y = _y(height + value, top)
                size = f'width="{max(width - 1, 1):.1f}" height="{_y(height, top) - y:.1f}"'
                title = f"{time}: {number(value)} {each.name}"
                parts.append(
                    f'<rect class="{escape(each.name)}" x="{LEFT + place * width:.1f}" y="{y:.1f}" {size}>'
                    f"<title>{escape(title)}</title></rect>"
                )
            height += value
    return _svg("".join(parts), HEIGHT)


def lines(times: Sequence[str], series: Sequence[Series]) -> Markup:
    """A line for each series, broken where it has no value."""
    top = nice_top(max((value for each in series for value in each.values if value is not None), default=0))
    width = (WIDTH - LEFT - RIGHT) / max(len(times), 1)
    parts = [_axes(times, top)]
    for each in series:
        points = [
            None if value is None else (LEFT + (place + 0.5) * width, _y(value, top), times[place], value)
            for place, value in enumerate(each.values)
        ]
        kind = escape(each.name)
        for (x, y, _, _), after in zip_next(points):
            if after:
                parts.append(
                    f'<line class="{kind}" x1="{x:.1f}" y1="{y:.1f}" '
                    f'x2="{after[0]:.1f}" y2="{after[1]:.1f}"/>'
                )
        parts += [
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.5">'
            f"<title>{escape(f'{time}: {number(value)} {each.name}')}</title></circle>"
            for x, y, time, value in filter(None, points)
        ]
    return _svg("".join(parts), HEIGHT)


def zip_next(points: Sequence[tuple[float, float, str, float] | None]):
    """Each point with the one right after it, None if there is none."""
    for place, point in enumerate(points):
        if point is not None:
            yield point, points[place + 1] if place + 1 < len(points) else None


def shares(rows: Sequence[Interval], mark: float | None = None) -> Markup:
    """A dot and its interval for each row, on a scale from 0 to 1; `mark` is a line across."""
    height = ROW * len(rows) + BOTTOM
    left, right = 8, WIDTH - 12

    def x(share: float) -> float:
        return left + share * (right - left)

    parts = [
        f'<line class="grid" x1="{x(at):.1f}" y1="0" x2="{x(at):.1f}" y2="{height - BOTTOM}"/>'
        f'<text class="label" x="{x(at):.1f}" y="{height - 6}" text-anchor="{anchor}">{at:g}</text>'
        for at, anchor in ((0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1, "end"))
    ]
    if mark is not None:
        parts.append(
            f'<line class="mark" x1="{x(mark):.1f}" y1="0" x2="{x(mark):.1f}" y2="{height - BOTTOM}"/>'
        )
    for place, row in enumerate(rows):
        y = place * ROW + 28
        parts.append(f'<text class="name" x="{left}" y="{y - 12}">{escape(row.name)}</text>')
        if row.share is not None:
            words = f"{row.name}: {row.share:.3f} [{row.low:.3f}, {row.high:.3f}]"
            parts.append(
                f'<g><title>{escape(words)}</title><line class="interval" x1="{x(row.low):.1f}" y1="{y}" '
                f'x2="{x(row.high):.1f}" y2="{y}"/>'
                f'<circle class="share" cx="{x(row.share):.1f}" cy="{y}" r="5"/></g>'
            )
    return _svg("".join(parts), height)


def nice_top(most: float) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that is not below `most`; 1 for 0."""
    if most <= 0:
        return 1.0
    power = 10.0 ** floor(log10(most))
    return next(step * power for step in STEPS if step * power >= most * (1 - 1e-9))


def number(value: float) -> str:
    """A number with three digits, or whole with its thousands apart."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)


def _axes(times: Sequence[str], top: float) -> str:
    parts = [
        f'<line class="grid" x1="{LEFT}" y1="{_y(at, top):.1f}" x2="{WIDTH - RIGHT}" y2="{_y(at, top):.1f}"/>'
        f'<text class="label" x="{LEFT - 5}" y="{_y(at, top) + 4:.1f}" text-anchor="end">{number(at)}</text>'
        for at in (0.0, top / 2, top)
    ]
    if times:
        ends = ((LEFT, times[0], "start"), (WIDTH - RIGHT, times[-1], "end"))
        parts += [
            f'<text class="label" x="{x}" y="{HEIGHT - 5}" text-anchor="{anchor}">{escape(time)}</text>'
            for x, time, anchor in ends
        ]
    return "".join(parts)


def _svg(inside: str, height: int) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-hidden="true">{inside}</svg>'
    )
