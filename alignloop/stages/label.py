"""Labelers rank the round's responses: a simulated panel, people, a judge model, or shares of them.

With `label.kind: imported`, and in a round that adopts its policy, nobody does: the round's set is what was
known before.
"""

import shutil
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, combinations
from pathlib import Path

from alignloop.core.labeler_agreement import Points, total
from alignloop.data.ranking_makers import count_makers, describe, makers_in_file
from alignloop.data.record_files import files, read, write
from alignloop.errors import AlignloopError
from alignloop.files import replacing, write_json
from alignloop.labeling.agreement_report import measure_agreement, report_page
from alignloop.labeling.imported_report import imported_page
from alignloop.labeling.rankers import COUNTS, RANKERS, LabelingRound
from alignloop.params.label import Label, Labelers
from alignloop.params.people import People
from alignloop.params.section import Seed
from alignloop.progress import Progress
from alignloop.records import LABELS, Ranking, Samples
from alignloop.seeds import seed_of


class NoImportedRankings(AlignloopError):
    """The reward model has nothing to learn from."""


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
    by: str = "ppo",
) -> Iterator[Progress]:
    """Rank the K responses to every prompt, measure agreement, and add to the earlier rankings."""
    if plan.kind == "imported" or by == "adopted":
        why = "its policy is adopted" if by == "adopted" else "`label.kind` is `imported`"
        yield from _take_imported(round, earlier, out, metrics=metrics, report=report, why=why)
        return
    waiting = read(samples, Samples)
    rankings: list[Ranking] = []
    counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
    without_choice = 0  # prompts whose responses are all equal: their tie is in no ranking
    without_gold = 0  # prompts of people that the built-in environment's panel leaves alone
    gold: dict[str, Points] = {}
    ties = pairs = 0  # so far
    ranked: set[str] = set()  # several labelers may rank a prompt
    job = LabelingRound(plan, seed, round, pages)
    screening: Points = (0.0, 0)
    for kind, items in divide(seed, plan, round, waiting).items():
        made, people, known, screened, equal, unknown = RANKERS[kind](job, items)
        without_gold += unknown
        gold |= known
        screening = total([screening, screened])
        without_choice += equal
        asked = len(waiting) - without_choice - without_gold
        for ranking in made:
            rankings.append(ranking)
            ranked.add(ranking.prompt.id)
            pairs, ties = pairs + _pairs(ranking), ties + _ties(ranking)
            if len(rankings) % 250 == 0:
                yield Progress(len(ranked), asked, {"ties": ties / pairs})
        counts = {name: count + people[name] for name, count in counts.items()}
    if not rankings:
        raise NothingToRank(
            f"{samples}: the responses to each of its {len(waiting):,} prompts are equal, so there is "
            "nothing to rank; raise decoding.temperature, or start the round from another policy"
        )
    last = {"ties": ties / pairs} if len(rankings) % 250 else {}
    note = f"rankings: {describe(count_makers(rankings))}"
    if without_gold:
        note += f"; {without_gold} prompts have no gold score, so the panel does not rank them"
    yield Progress(len(ranked), len(waiting) - without_choice - without_gold, last, note)
    found = measure_agreement(rankings, gold, plan.exclude_below)
    kept = [ranking for ranking in rankings if ranking.labeler not in found.excluded]
    if not kept:
        raise NoLabelersLeft(
            f"all {len(found.labelers)} labelers agree less than label.exclude_below "
            f"({plan.exclude_below}); lower it"
        )
    with replacing(out) as part:
        _copy(earlier, part)
        write(part / f"{round}.jsonl", kept)
        makers = Counter[str]()
        for file in files(part):
            makers.update(makers_in_file(file))
    pairs, ties = sum(map(_pairs, kept)), sum(map(_ties, kept))
    numbers = {"rankings": len(kept), "pairs": pairs, "ties": ties / pairs}
    if without_choice:
        counts["prompts_without_choice"] = without_choice
    if without_gold:
        counts["prompts_without_gold"] = without_gold
    made_by = {"rankings_by": count_makers(kept), "all_rankings_by": dict(sorted(makers.items()))}
    write_json(metrics, {**numbers, **counts, **found.metrics(), **made_by})
    with replacing(report) as part:
        page = report_page(
            round, found, plan.exclude_below, screening=screening, without_choice=without_choice
        )
        part.write_text(page, encoding="utf-8")


def _take_imported(
    round: str, earlier: Path, out: Path, *, metrics: Path, report: Path, why: str
) -> Iterator[Progress]:
    """Pass on the earlier rankings; count no new ones."""
    known = read(earlier, Ranking, allow_empty=True)
    if not any(ranking.split == "train" for ranking in known):
        raise NoImportedRankings(
            f"{earlier}: holds {len(known):,} rankings, none of training users, and nobody ranks in "
            "this round (label.kind is imported, or its policy is adopted); add a preference file to the "
            "sources, or set label.kind to panel, people or judge in a round that trains its policy"
        )
    with replacing(out) as part:
        _copy(earlier, part)
    none = dict.fromkeys(("rankings", "pairs", "labelers", "held_out", "rejected"), 0)
    by = {"rankings_by": {}, "all_rankings_by": count_makers(known)}
    write_json(metrics, {**none, "ties": None, "excluded_labelers": 0, "excluded_rankings": 0, **by})
    with replacing(report) as part:
        part.write_text(imported_page(round, known, why), encoding="utf-8")
    note = f"no new labels: {len(known):,} rankings were known before"
    yield Progress(1, 1, {"known": len(known)}, note)


def _copy(earlier: Path, folder: Path) -> None:
    """Copy the earlier rankings, and binary labels, into a new folder."""
    folder.mkdir(parents=True)
    if (earlier / LABELS).is_dir():
        shutil.copytree(earlier / LABELS, folder / LABELS)
    for each in sorted(earlier.glob("*.jsonl")):
        (shutil.copytree if each.is_dir() else shutil.copyfile)(each, folder / each.name)


def _pairs(ranking: Ranking) -> int:
    return len(ranking.ranks) * (len(ranking.ranks) - 1) // 2


def _ties(ranking: Ranking) -> int:
    return sum(one == other for one, other in combinations(ranking.ranks, 2))


def divide(seed: int, plan: Label, round: str, samples: list[Samples]) -> dict[Labelers, list[Samples]]:
    """Each kind of labeler with its samples, people first, because they may not be done.

    A sample keeps its kind of labeler when other samples are added or removed.
    """
    kind = plan.kind
    if kind == "imported":
        return {}
    if isinstance(kind, str):
        return {kind: samples}
    order: list[Labelers] = sorted(kind, key=lambda name: name != "people")
    upto = list(accumulate(kind[name] for name in order))
    parts: dict[Labelers, list[Samples]] = {name: [] for name in order}
    for each in samples:
        chance = seed_of(seed, "label", round, "kind", each.id) / 2**63
        parts[order[min(bisect(upto, chance), len(order) - 1)]].append(each)
    return {name: part for name, part in parts.items() if part}
