"""A round's ledger: what it cost, by stage and kind of labeler, and the win-rate points that it bought.

Each fact is read where it is: counts of labels in label.json, people's time in the rankings, win rates in
evaluate.json, and what stages consumed in the MLflow runs that made their bytes. What no run here tells is
None, not 0. Times differ from run to run, so no stage's output holds them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alignloop.data.ranking_makers import maker_of
from alignloop.data.record_files import read
from alignloop.params import Params
from alignloop.params.ledger import Prices
from alignloop.pipeline.stage_files import entries, hashes
from alignloop.records import Ranking
from alignloop.tracking.consumption import consumed
from alignloop.tracking.finished_runs import find_run

HOUR = 3600.0
JUDGE = ("calls", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class StageCost:
    """Hours of all processes of a stage, and its requests to models behind endpoints."""

    process_hours: float
    cpu_hours: float
    gpu_hours: float
    calls: int
    prompt_tokens: int
    completion_tokens: int


def round_ledger(root: Path, params: Params, round: str, evaluation_run: str | None = None) -> dict[str, Any]:
    """The ledger of an evaluated round; `evaluation_run` is the MLflow run of its evaluation, if open."""
    metrics = root / "metrics" / "rounds" / round
    label = metrics / "label.json"
    rankings_by = _json(label)["rankings_by"] if label.exists() else {}
    stages = stage_costs(root, round, evaluation_run)
    known = [cost for cost in stages.values() if cost]
    ledger: dict[str, Any] = {
        "round": round,
        "labels": _labels(root / "data" / "rankings" / round / f"{round}.jsonl", rankings_by),
        "stages": {name: None if cost is None else _rounded(asdict(cost)) for name, cost in stages.items()},
        "not_metered": [name for name, cost in stages.items() if cost is None],
        "points": points_of(_json(metrics / "evaluate.json")),
    }
    used = {
        "people_hour": sum(part["minutes"] or 0.0 for part in ledger["labels"].values()) / 60,
        "cpu_hour": sum(cost.cpu_hours for cost in known),
        "gpu_hour": sum(cost.gpu_hours for cost in known),
        "judge_call": sum(cost.calls for cost in known),
        "judge_million_prompt_tokens": sum(cost.prompt_tokens for cost in known) / 1e6,
        "judge_million_completion_tokens": sum(cost.completion_tokens for cost in known) / 1e6,
    }
    ledger["used"] = _rounded(used)
    costs = costs_of(used, params.ledger.prices, ledger["points"])
    return {**ledger, **costs, "currency": params.ledger.currency}


def stage_costs(root: Path, round: str, evaluation_run: str | None = None) -> dict[str, StageCost | None]:
    """What each stage of a round consumed in the run that made its bytes; None where no such run is known."""
    costs: dict[str, StageCost | None] = {}
    for entry in entries(root):
        if entry.round != round:
            continue
        stage = entry.name.partition("@")[0]
        run = evaluation_run if stage == "evaluate" else None
        outputs = hashes(root, entry.outs)
        if run is None and len(outputs) == len(entry.outs):
            found = find_run(root, outputs)
            run = found.id if found else None
        costs[stage] = _cost(consumed(root, run)) if run else None
    return costs


def points_of(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The win-rate points of the policy over the one before it: 100 × (win rate − ½), with the interval.

    `independent` has those over SFT by the judge that training cannot reach, where there is one.
    """
    wins = evaluation["win_rates"]
    by = "gold" if wins.get("judged_by_gold", True) else "the round's reward model, which training raises"
    judged = {judge: _points(win) for judge, win in (evaluation.get("judge") or {}).items()}
    return {**_points(wins["policy_vs_before"]), "judged_by": by, "independent_over_sft": judged}


def costs_of(used: Mapping[str, float], prices: Prices, points: Mapping[str, float]) -> dict[str, Any]:
    """The cost of what was used, by price, their sum, what was used without a price, and the cost per point.

    The cost per point has the interval of the points: `high` is None where they may be none. It is None where
    no point was gained or nothing is priced.
    """
    stated = prices.model_dump()
    parts = {name: used[name] * price for name, price in stated.items() if price is not None}
    unpriced = [name for name, price in stated.items() if price is None and used[name]]
    total = sum(parts.values()) if parts else None
    per_point = None
    if total is not None and points["gained"] > 0:
        high = total / points["low"] if points["low"] > 0 else None
        per_point = {"cost": total / points["gained"], "low": total / points["high"], "high": high}
    return _rounded({"costs": parts, "cost": total, "not_priced": unpriced, "cost_per_point": per_point})


def _points(win: Mapping[str, float]) -> dict[str, float]:
    names = {"gained": "rate", "low": "low", "high": "high"}
    return {name: round(100 * (win[key] - 0.5), 4) for name, key in names.items()}


def _labels(file: Path, rankings_by: Mapping[str, int]) -> dict[str, Any]:
    """The rankings by each maker; `minutes` is people's time in view, None where none was measured.

    It is that of the rankings that are used: gold items, repeats and the quiz are not among them.
    """
    seconds = dict.fromkeys(rankings_by, 0.0)
    measured = dict.fromkeys(rankings_by, 0)
    for ranking in read(file, Ranking) if file.exists() else ():
        if ranking.labeling and ranking.labeling.active_seconds is not None:
            seconds[maker_of(ranking)] += ranking.labeling.active_seconds
            measured[maker_of(ranking)] += 1
    return {
        maker: {
            "rankings": count,
            "measured": measured[maker],
            "minutes": round(seconds[maker] / 60, 2) if measured[maker] else None,
        }
        for maker, count in rankings_by.items()
    }


def _cost(found: Mapping[str, float]) -> StageCost | None:
    if not found:
        return None
    process, cpu, gpu = (found.get(f"{kind}_seconds", 0.0) / HOUR for kind in ("process", "cpu", "gpu"))
    calls, read, wrote = (round(found.get(kind, 0.0)) for kind in JUDGE)
    return StageCost(process, cpu, gpu, calls=calls, prompt_tokens=read, completion_tokens=wrote)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
