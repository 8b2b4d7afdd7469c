"""The figure of the methods benchmark: wins against KL, a colour per method."""

from collections.abc import Mapping
from statistics import fmean

from matplotlib.figure import Figure

from benchmarks.claims import interval


def picture(cells: Mapping[str, Mapping[int, Mapping[str, float]]]) -> Figure:
    """Each cell at its mean KL and wins, with the 95 % interval over seeds; a method's cells are joined."""
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots()
    methods: dict[str, list[Mapping[int, Mapping[str, float]]]] = {}
    for name, numbers in cells.items():
        methods.setdefault("best of n" if name.startswith("best of") else name.split(",")[0], []).append(
            numbers
        )
    for place, (method, group) in enumerate(methods.items()):
        points = sorted(
            (
                fmean(each["kl"] for each in numbers.values()),
                *interval([each["wins"] for each in numbers.values()]),
            )
            for numbers in group
        )
        known = all(len(numbers) > 1 for numbers in group)
        axes.errorbar(
            [kl for kl, *_ in points],
            [mean for _, mean, _, _ in points],
            yerr=[[mean - low for _, mean, low, _ in points], [high - mean for _, mean, _, high in points]]
            if known
            else None,
            marker="os^Dv<>PX"[place % 9],
            color=f"C{place}",
            linewidth=1.2,
            elinewidth=0.8,
            capsize=2,
            label=method,
        )
    axes.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel("KL to SFT, nats per response")
    axes.set_ylabel("wins by gold against SFT")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    axes.set_title("Nine ways from the same rankings, 95 % intervals over seeds", fontsize=11, loc="left")
    return figure
