"""How well a round's labelers agree: with each other, with what is known to be right, by category and over time; and who is left out.

Rankings of one prompt and the same answers are rankings of one item, in whatever order the answers stand.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from alignloop.core.labeler_agreement import Points, Ranks, agreement_rate, alpha, by_labeler, total
from alignloop.records import Ranking

Items = dict[object, dict[str, Ranks]]
ENOUGH = 20  # pairs below which a labeler's agreement says too little to leave anybody out


@dataclass(frozen=True)
class Labeler:
    """One labeler's round: rankings, agreement with gold, with others, and with others in the earlier and the later half of the work."""

    name: str
    kind: str
    rankings: int
    gold: Points
    others: Points
    halves: tuple[Points, Points]
    alpha: float | None


@dataclass(frozen=True)
class Found:
    """What was measured: all labelers together, one by one, by category and by week, and whose rankings are left out."""

    others: Points
    gold: Points
    alpha: float | None
    labelers: tuple[Labeler, ...]
    categories: Mapping[str, tuple[Points, float | None]]
    weeks: Mapping[str, tuple[Points, float | None]]
    excluded: frozenset[str]

    def numbers(self) -> dict[str, float]:
        """What goes into the stage's metrics: no names, and nothing that was not measured."""
        counts = {"excluded_labelers": len(self.excluded)}
        counts["excluded_rankings"] = sum(
            each.rankings for each in self.labelers if each.name in self.excluded
        )
        told = {
            "agreement_others": agreement_rate(self.others),
            "agreement_gold": agreement_rate(self.gold),
            "alpha": self.alpha,
        }
        return {**counts, **{name: round(value, 6) for name, value in told.items() if value is not None}}


def measure(rankings: Sequence[Ranking], gold: Mapping[str, Points], bound: float | None) -> Found:
    """Measure a round's rankings; who agrees less than `bound` with gold, or with others, on ENOUGH pairs, is left out."""
    items, categories, weeks = (
        defaultdict[object, dict[str, Ranks]](dict),
        defaultdict[str, Items](dict),
        defaultdict[str, Items](dict),
    )
    own: dict[str, list[Ranking]] = defaultdict(list)
    for ranking in rankings:
        item = _item(ranking)
        order = sorted(range(len(ranking.ranks)), key=ranking.responses.__getitem__)
        items[item][ranking.labeler] = [ranking.ranks[place] for place in order]
        categories[ranking.prompt.category][item] = items[item]
        if ranking.time:
            weeks[_week(ranking.time)][item] = items[item]
        own[ranking.labeler].append(ranking)
    others = by_labeler(items)
    labelers = []
    for name, made in sorted(own.items()):
        made.sort(key=lambda ranking: ranking.time)
        shared = [_item(ranking) for ranking in made if len(items[_item(ranking)]) > 1]
        parts = (shared[: len(shared) // 2], shared[len(shared) // 2 :])
        early, late = (by_labeler({item: items[item] for item in part}).get(name, (0.0, 0)) for part in parts)
        apart = alpha({item: items[item] for item in shared})
        labelers.append(
            Labeler(
                name, made[0].kind, len(made), gold.get(name, (0.0, 0)), others[name], (early, late), apart
            )
        )
    return Found(
        total(others.values()),
        total(each.gold for each in labelers),
        alpha(items),
        tuple(labelers),
        {name: (total(by_labeler(part).values()), alpha(part)) for name, part in sorted(categories.items())},
        {name: (total(by_labeler(part).values()), alpha(part)) for name, part in sorted(weeks.items())},
        frozenset(
            each.name
            for each in labelers
            if bound is not None and (_below(each.gold, bound) or _below(each.others, bound))
        ),
    )


def page(round: str, found: Found, bound: float | None) -> str:
    """The report as Markdown."""
    numbers = found.numbers()
    rule = "nobody is left out (`label.exclude_below` is null)"
    if bound is not None:
        rule = (
            f"left out for agreeing less than {bound:g} on {ENOUGH} pairs or more: {numbers['excluded_labelers']} of {len(found.labelers)} "
            f"labelers, {numbers['excluded_rankings']:,} of {sum(each.rankings for each in found.labelers):,} rankings"
        )
    lines = [
        f"# Labels of round {round}",
        "",
        f"Pairs of answers that are ordered alike: with other labelers {_told(found.others)}, with what is known to be right "
        f"{_told(found.gold)}; Krippendorff's α {_number(found.alpha)}; {rule}.",
        "",
        "| labeler | kind | rankings | with gold | with others | earlier half | later half | α | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for each in found.labelers:
        cells = [
            _cell(each.name),
            each.kind,
            f"{each.rankings:,}",
            _told(each.gold),
            _told(each.others),
            *map(_told, each.halves),
        ]
        lines.append(
            f"| {' | '.join([*cells, _number(each.alpha), 'left out' if each.name in found.excluded else ''])} |"
        )
    for what, parts in (("category", found.categories), ("week", found.weeks)):
        if parts:
            lines += ["", f"| {what} | between labelers | α |", "|---|---:|---:|"]
            lines += [
                f"| {_cell(name)} | {_told(points)} | {_number(its)} |"
                for name, (points, its) in parts.items()
            ]
    lines += [
        "",
        "A tie counts half where the other side has an order. α is ordinal, a unit per answer; 1 is full agreement, 0 what chance gives.",
    ]
    return "\n".join(lines) + "\n"


def _item(ranking: Ranking) -> object:
    return ranking.prompt.id, ranking.prompt.messages, tuple(sorted(ranking.responses))


def _week(time: str) -> str:
    try:
        year, week, _ = datetime.fromisoformat(time).isocalendar()
    except ValueError:  # sources write times as they like
        return "unknown"
    return f"{year}-W{week:02}"


def _below(points: Points, bound: float) -> bool:
    return points[1] >= ENOUGH and points[0] / points[1] < bound


def _told(points: Points) -> str:
    found = agreement_rate(points)
    return "–" if found is None else f"{100 * found:.1f} % of {points[1]:,}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
