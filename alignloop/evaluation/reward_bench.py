"""A report of a reward model on preference files, as RewardBench has it (arXiv 2403.13787): by subset.

A ranking's outcome is the share of its ordered pairs that are scored in its order: 1 or 0 for a pair of
chosen and rejected; equal scores count a half and are counted. Intervals are Wilson's at 95 %, a ranking
being one outcome. Beside the reward model stand what preferring the longer response gets right, in
characters, and a bag of words.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from alignloop.core.classifier import Classifier
from alignloop.core.metrics import Z, win_rate_of_outcomes
from alignloop.core.ranking_pairs import pairs_of
from alignloop.core.reward_metrics import correct_pairs
from alignloop.markdown import number, plain, table
from alignloop.phases import counted
from alignloop.records import Ranking
from alignloop.scoring.checkpoint_score import OwnReward
from alignloop.training.encoding import NothingFits, chat

MODEL = "reward model"  # who orders the responses
LENGTH = "longer response"
WORDS = "bag of words"
ALL = "all"


def reward_scores(
    model: OwnReward | Classifier, rankings: Sequence[Ranking]
) -> tuple[list[Ranking], list[Tensor]]:
    """The rankings whose responses all fit into the model's context, and the scores (K,) of each.

    Raises NothingFits where none does.
    """
    kept: list[Ranking] = []
    rows: list[list[int]] = []
    for ranking in counted("tokenizing", rankings, len(rankings), of="rankings"):
        asked = chat(ranking.prompt.messages)
        mine = [model.encode([*asked, {"role": "assistant", "content": text}]) for text in ranking.responses]
        if max(map(len, mine)) <= model.context:
            kept.append(ranking)
            rows += mine
    if not kept:
        raise NothingFits(f"none of the {len(rankings):,} rankings fits into {model.context:,} tokens")
    return kept, list(model.score(rows).split([len(ranking.responses) for ranking in kept]))


def length_scores(rankings: Sequence[Ranking]) -> list[Tensor]:
    """The length of each response in characters (K,), as a score."""
    return [torch.tensor([float(len(text)) for text in each.responses]) for each in rankings]


def bench_report(
    subsets: Sequence[str], ranks: Sequence[Sequence[int]], scores: Mapping[str, Sequence[Tensor]]
) -> dict[str, Any]:
    """The accuracy of each scorer on each subset and on all; `subsets` names that of each ranking.

    Rankings of ties alone have no ordered pair: they are counted, and left out. `over` holds the reward
    model's accuracy less that of each other scorer on the same rankings, with a paired interval.
    `mean_of_subsets` gives every subset the same weight.
    """
    ordered = [place for place, order in enumerate(ranks) if len(set(order)) > 1]
    report: dict[str, Any] = {"only_ties": len(ranks) - len(ordered), "subsets": {}}
    for name in (*sorted({subsets[place] for place in ordered}), ALL):
        chosen = [place for place in ordered if name in (subsets[place], ALL)]
        if chosen:
            report["subsets"][name] = _subset(chosen, ranks, scores)
    parts = [part for name, part in report["subsets"].items() if name != ALL]
    report["mean_of_subsets"] = {
        scorer: fmean(part["accuracy"][scorer]["rate"] for part in parts) if parts else None
        for scorer in scores
    }
    return report


def render(report: Mapping[str, Any]) -> str:
    """The report as a Markdown table, with a line for each subset."""
    subsets = report["subsets"]
    if not subsets:
        return "no ordered pair"
    scorers = list(subsets[ALL]["accuracy"])
    others = [scorer for scorer in scorers if scorer != MODEL]
    rows = [["subset", "rankings", "pairs", *scorers, *(f"{MODEL} − {other}" for other in others)]]
    for name, part in subsets.items():
        row = [plain(name), f"{part['rankings']:,}", f"{part['pairs']:,}"]
        row += [_accuracy(part["accuracy"][scorer]) for scorer in scorers]
        rows.append(row + [_difference(part["over"][other]) for other in others])
    if len(subsets) > 2:
        means = [number(report["mean_of_subsets"][scorer], 3) for scorer in scorers]
        rows.append(["mean of subsets", "", "", *means, *("" for _ in others)])
    return table(rows)


def ties_note(report: Mapping[str, Any]) -> str:
    """What is said of ties: by labelers, and equal scores."""
    equal = {name: numbers["equal_pairs"] for name, numbers in report["subsets"][ALL]["accuracy"].items()}
    scored = ", ".join(f"{count:,} of the {name}" for name, count in equal.items())
    return (
        f"equal scores count a half: {scored}; rankings of ties alone, which are left out: "
        f"{report['only_ties']:,}"
    )


def _subset(
    chosen: Sequence[int], ranks: Sequence[Sequence[int]], scores: Mapping[str, Sequence[Tensor]]
) -> dict[str, Any]:
    orders = [ranks[place] for place in chosen]
    outcomes, equal = dict[str, list[float]](), dict[str, int]()
    for scorer, all_scores in scores.items():
        mine = [all_scores[place] for place in chosen]
        shares = [correct_pairs([score], [order]) for score, order in zip(mine, orders, strict=True)]
        outcomes[scorer] = [right / pairs for right, pairs in shares]
        equal[scorer] = sum(_equal(score, order) for score, order in zip(mine, orders, strict=True))
    accuracy = {
        scorer: {**win_rate_of_outcomes(each).as_dict(), "equal_pairs": equal[scorer]}
        for scorer, each in outcomes.items()
    }
    for numbers in accuracy.values():
        del numbers["n"], numbers["ties"]
    return {
        "rankings": len(chosen),
        "pairs": sum(len(pairs_of(order)[0]) for order in orders),
        "accuracy": accuracy,
        "over": {name: _paired(outcomes[MODEL], each) for name, each in outcomes.items() if name != MODEL},
    }


def _equal(scores: Tensor, order: Sequence[int]) -> int:
    """How many ordered pairs have equal scores."""
    better, worse = pairs_of(order)
    return int((scores[better] == scores[worse]).sum())


def _paired(mine: Sequence[float], theirs: Sequence[float]) -> dict[str, float | None]:
    """The mean difference of paired outcomes; its interval is the normal one, None for a single outcome."""
    gaps = [one - other for one, other in zip(mine, theirs, strict=True)]
    mean = fmean(gaps)
    half = Z * stdev(gaps) / sqrt(len(gaps)) if len(gaps) > 1 else None
    bounds = (None, None) if half is None else (round(mean - half, 6), round(mean + half, 6))
    return {"difference": round(mean, 6), "low": bounds[0], "high": bounds[1]}


def _accuracy(numbers: Mapping[str, float]) -> str:
    return f"{numbers['rate']:.3f} [{numbers['low']:.3f}, {numbers['high']:.3f}]"


def _difference(numbers: Mapping[str, float | None]) -> str:
    low, high = number(numbers["low"], 3), number(numbers["high"], 3)
    return f"{number(numbers['difference'], 3)} [{low}, {high}]"
