"""Report of labeler agreement in a round: with each other, with known orders, by category and over time.

Known orders are people's gold items, and the screening items of simulated labelers whose prompts are of the
built-in environment too; an order that is known of other data counts for nothing here. Rankings of one prompt
with the same responses are rankings of one item, whatever the order of the responses. Equal
responses count once.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from alignloop.core.labeler_agreement import Points, Ranks, agreement_rate, alpha, by_labeler, total
from alignloop.data.ranking_makers import count_makers, describe, maker_of, rules_in
from alignloop.labeling.equal_responses import once, tie_copies
from alignloop.markdown import plain
from alignloop.records import Ranking

Items = dict[object, dict[str, Ranks]]
MIN_PAIRS = 20  # with fewer pairs, a labeler's agreement is too uncertain to exclude one


@dataclass(frozen=True)
class LabelerAgreement:
    """One labeler's agreement in a round: with known orders and with other labelers.

    `kind` is the labeler's in the records, `maker` the same in words. `halves` is the agreement with others
    in the earlier and in the later half of the labeler's work.
    """

    name: str
    kind: str
    maker: str
    rankings: int
    gold: Points
    others: Points
    halves: tuple[Points, Points]
    alpha: float | None


@dataclass(frozen=True)
class AgreementReport:
    """Agreement of all labelers together, one by one, by category and by week, and those excluded.

    `makers` counts the rankings by who made them.
    """

    makers: Mapping[str, int]
    others: Points
    gold: Points
    alpha: float | None
    labelers: tuple[LabelerAgreement, ...]
    categories: Mapping[str, tuple[Points, float | None]]
    weeks: Mapping[str, tuple[Points, float | None]]
    excluded: frozenset[str]

    def metrics(self) -> dict[str, float]:
        """The numbers for the stage's metrics, without names; what was not measured is left out."""
        counts = {"excluded_labelers": len(self.excluded)}
        counts["excluded_rankings"] = sum(
            each.rankings for each in self.labelers if each.name in self.excluded
        )
        shares = {
            "agreement_others": agreement_rate(self.others),
            "agreement_gold": agreement_rate(self.gold),
            "alpha": self.alpha,
        }
        return {**counts, **{name: round(value, 6) for name, value in shares.items() if value is not None}}


def measure_agreement(
    rankings: Sequence[Ranking], gold: Mapping[str, Points], bound: float | None
) -> AgreementReport:
    """Measure the labeler agreement of a round.

    `gold` has each labeler's agreement with known orders. A labeler who agrees less than `bound` with them
    or with others, on MIN_PAIRS pairs or more, is excluded; None excludes no labeler.
    """
    items = defaultdict[object, dict[str, Ranks]](dict)
    categories, weeks = defaultdict[str, Items](dict), defaultdict[str, Items](dict)
    by_name: dict[str, list[Ranking]] = defaultdict(list)
    for ranking in rankings:
        item = _item(ranking)
        items[item][ranking.labeler] = _ranks_by_text(ranking)
        categories[ranking.prompt.category][item] = items[item]
        if ranking.time:
            weeks[_week(ranking.time)][item] = items[item]
        by_name[ranking.labeler].append(ranking)
    others = by_labeler(items)
    labelers = []
    for name, own in sorted(by_name.items()):
        own.sort(key=lambda ranking: ranking.time)
        shared = [_item(ranking) for ranking in own if len(items[_item(ranking)]) > 1]
        parts = (shared[: len(shared) // 2], shared[len(shared) // 2 :])
        early, late = (by_labeler({item: items[item] for item in part}).get(name, (0.0, 0)) for part in parts)
        labelers.append(
            LabelerAgreement(
                name=name,
                kind=own[0].kind,
                maker=maker_of(own[0]),
                rankings=len(own),
                gold=gold.get(name, (0.0, 0)),
                others=others[name],
                halves=(early, late),
                alpha=alpha({item: items[item] for item in shared}),
            )
        )
    excluded = frozenset(
        each.name
        for each in labelers
        if bound is not None and (_is_below(each.gold, bound) or _is_below(each.others, bound))
    )
    return AgreementReport(
        makers=count_makers(rankings),
        others=total(others.values()),
        gold=total(each.gold for each in labelers),
        alpha=alpha(items),
        labelers=tuple(labelers),
        categories=_by_group(categories),
        weeks=_by_group(weeks),
        excluded=excluded,
    )


def report_page(
    round: str, report: AgreementReport, bound: float | None, *, screening: Points, without_choice: int = 0
) -> str:
    """The report as Markdown.

    `screening` is the panel's agreement on its screening items; `without_choice` counts the prompts whose
    responses are all equal.
    """
    metrics = report.metrics()
    rule = "no labeler is left out (`label.exclude_below` is null)"
    if bound is not None:
        rule = (
            f"left out for agreeing less than {bound:g} on {MIN_PAIRS} pairs or more: "
            f"{metrics['excluded_labelers']} of {len(report.labelers)} labelers, "
            f"{metrics['excluded_rankings']:,} of {sum(each.rankings for each in report.labelers):,} rankings"
        )
    lines = [
        f"# Labels of round {round}",
        "",
        *_who_ranked(report),
        f"Pairs of responses that are ordered alike: with other labelers {_share_text(report.others)}; "
        f"{_known_orders(report)}; Krippendorff's α {_number_text(report.alpha)}; {rule}.",
        "",
        *_screening(report, screening),
        *(_equal_text(without_choice) if without_choice else []),
        "| labeler | kind | rankings | with known orders | with others | earlier half | later half | α | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for each in report.labelers:
        cells = [
            plain(each.name),
            plain(each.maker),
            f"{each.rankings:,}",
            _share_text(each.gold),
            _share_text(each.others),
            *map(_share_text, each.halves),
            _number_text(each.alpha),
            "left out" if each.name in report.excluded else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for heading, groups in (("category", report.categories), ("week", report.weeks)):
        if groups:
            lines += ["", f"| {heading} | between labelers | α |", "|---|---:|---:|"]
            lines += [
                f"| {plain(name)} | {_share_text(points)} | {_number_text(group_alpha)} |"
                for name, (points, group_alpha) in groups.items()
            ]
    lines += [
        "",
        "A tie counts half where the other side has an order. α is ordinal, a unit per response; "
        "1 is full agreement, 0 what chance gives. Equal responses to a prompt count once.",
    ]
    return "\n".join(lines) + "\n"


def _who_ranked(report: AgreementReport) -> list[str]:
    """Who ranked, and by which rules simulated labelers did."""
    count = sum(report.makers.values())
    lines = [f"Rankings: {count:,}, {describe(report.makers)}."]
    for rule, words in rules_in(report.makers).items():
        lines.append(
            f"**Simulated labelers ranked, not people**: by the rule `{rule}`, {words}; each with noise and "
            "biases of its own."
        )
    return [part for line in lines for part in (line, "")]


def _known_orders(report: AgreementReport) -> str:
    """The agreement with known orders, for each kind of labeler that has any."""
    items = {"person": "gold items (people)", "panel": "screening items (simulated labelers)"}
    parts = [
        f"with {words} {_share_text(points)}"
        for kind, words in items.items()
        if (points := total(each.gold for each in report.labelers if each.kind == kind))[1]
    ]
    return ", ".join(parts) or "with known orders –, for none is known of these prompts"


def _screening(report: AgreementReport, screening: Points) -> list[str]:
    """The panel's screening where it was on other data than the rankings."""
    if not screening[1] or any(each.gold[1] for each in report.labelers if each.kind == "panel"):
        return []
    return [
        f"The simulated labelers were screened on items of the built-in environment, of which they ordered "
        f"{_share_text(screening)} right. That is another data set: it says nothing about these rankings.",
        "",
    ]


def _equal_text(count: int) -> list[str]:
    prompts = "1 prompt has" if count == 1 else f"{count:,} prompts have"
    return [
        f"{prompts} equal responses only: nobody was asked about this tie, and it is in no ranking.",
        "",
    ]


def _by_group(groups: Mapping[str, Items]) -> dict[str, tuple[Points, float | None]]:
    return {name: (total(by_labeler(items).values()), alpha(items)) for name, items in sorted(groups.items())}


def _item(ranking: Ranking) -> object:
    return ranking.prompt.id, ranking.prompt.messages, tuple(sorted(ranking.responses))


def _ranks_by_text(ranking: Ranking) -> list[int]:
    """The rank of each distinct response, in the order of the texts."""
    order = sorted(range(len(ranking.ranks)), key=ranking.responses.__getitem__)
    texts = [ranking.responses[place] for place in order]
    return once(tie_copies([ranking.ranks[place] for place in order], texts), texts)


def _week(time: str) -> str:
    try:
        year, week, _ = datetime.fromisoformat(time).isocalendar()
    except ValueError:  # imported data may have any time format
        return "unknown"
    return f"{year}-W{week:02}"


def _is_below(points: Points, bound: float) -> bool:
    return points[1] >= MIN_PAIRS and points[0] / points[1] < bound


def _share_text(points: Points) -> str:
    value = agreement_rate(points)
    return "–" if value is None else f"{100 * value:.1f} % of {points[1]:,}"


def _number_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
