"""Labelers rank the round's responses: a simulated panel, people, a judge model, or shares of them."""

import shutil
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate, combinations
from pathlib import Path

from alignloop.core.labeler_agreement import Points
from alignloop.data.record_files import read, write
from alignloop.errors import AlignloopError
from alignloop.files import replacing, write_json
from alignloop.labeling.agreement_report import measure_agreement, report_page
from alignloop.labeling.rankers import COUNTS, RANKERS, LabelingRound
from alignloop.params.label import Label, Labelers
from alignloop.params.people import People
from alignloop.params.section import Seed
from alignloop.progress import Progress
from alignloop.records import Ranking, Samples
from alignloop.seeds import seed_of


class NoLabelersLeft(AlignloopError):
    """The rule that leaves labelers out leaves none."""


class NothingToRank(AlignloopError):
    """No prompt has two distinct responses."""


def label(
    seed: Seed,
    plan: Label,
    pages: People,
    round: str,
    samples: Path,
    earlier: Path,
    out: Path,
    metrics: Path,
    report: Path,
) -> Iterator[Progress]:
    """Rank the K responses to every prompt, measure agreement, and add to the earlier rankings."""
    waiting = read(samples, Samples)
    rankings: list[Ranking] = []
    counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
    without_choice = 0  # prompts whose responses are all equal: their tie is in no ranking
    gold: dict[str, Points] = {}
    ties = pairs = 0  # so far
    ranked: set[str] = set()  # several labelers may rank a prompt
    job = LabelingRound(plan, seed, round, pages)
    for kind, items in divide(seed, plan, round, waiting).items():
        made, people, known, equal = RANKERS[kind](job, items)
        gold |= known
        without_choice += equal
        for ranking in made:
            rankings.append(ranking)
            ranked.add(ranking.prompt.id)
            pairs, ties = pairs + _pairs(ranking), ties + _ties(ranking)
            if len(rankings) % 250 == 0:
                yield Progress(len(ranked), len(waiting) - without_choice, {"ties": ties / pairs})
        counts = {name: count + people[name] for name, count in counts.items()}
    if not rankings:
        raise NothingToRank(
            f"{samples}: the responses to each of its {len(waiting):,} prompts are equal, so there is "
            "nothing to rank; raise decoding.temperature, or start the round from another policy"
        )
    if len(rankings) % 250:
        yield Progress(len(ranked), len(waiting) - without_choice, {"ties": ties / pairs})
    found = measure_agreement(rankings, gold, plan.exclude_below)
    kept = [ranking for ranking in rankings if ranking.labeler not in found.excluded]
    if not kept:
        raise NoLabelersLeft(
            f"all {len(found.labelers)} labelers agree less than label.exclude_below "
            f"({plan.exclude_below}); lower it"
        )
    with replacing(out) as part:
        part.mkdir(parents=True)
        for each in sorted(earlier.glob("*.jsonl")):
            (shutil.copytree if each.is_dir() else shutil.copyfile)(each, part / each.name)
        write(part / f"{round}.jsonl", kept)
    pairs, ties = sum(map(_pairs, kept)), sum(map(_ties, kept))
    numbers = {"rankings": len(kept), "pairs": pairs, "ties": ties / pairs}
    if without_choice:
        counts["prompts_without_choice"] = without_choice
    write_json(metrics, {**numbers, **counts, **found.metrics()})
    with replacing(report) as part:
        page = report_page(round, found, plan.exclude_below, without_choice)
        part.write_text(page, encoding="utf-8")


def _pairs(ranking: Ranking) -> int:
    return len(ranking.ranks) * (len(ranking.ranks) - 1) // 2


def _ties(ranking: Ranking) -> int:
    return sum(one == other for one, other in combinations(ranking.ranks, 2))


def divide(seed: int, plan: Label, round: str, samples: list[Samples]) -> dict[Labelers, list[Samples]]:
    """Each kind of labeler with its samples, people first, because they may not be done.

    A sample keeps its kind of labeler when other samples are added or removed.
    """
    kind = plan.kind
    if isinstance(kind, str):
        return {kind: samples}
    order: list[Labelers] = sorted(kind, key=lambda name: name != "people")
    upto = list(accumulate(kind[name] for name in order))
    parts: dict[Labelers, list[Samples]] = {name: [] for name in order}
    for each in samples:
        chance = seed_of(seed, "label", round, "kind", each.id) / 2**63
        parts[order[min(bisect(upto, chance), len(order) - 1)]].append(each)
    return {name: part for name, part in parts.items() if part}
