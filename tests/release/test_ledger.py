"""A round's ledger: facts from where they are, costs and points by numbers worked by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from alignloop import tracking
from alignloop.data import record_files
from alignloop.params import load
from alignloop.params.ledger import Prices
from alignloop.pipeline.overrides import override
from alignloop.pipeline.stage_files import hashes
from alignloop.records import Labeling, Message, Prompt, Ranking
from alignloop.release.ledger import costs_of, points_of, round_ledger
from alignloop.release.ledger_pages import add_to_report, keep_ledger
from alignloop.release.ledger_table import ledger_text, written_ledgers
from tests.evaluation.evaluations import evaluation
from tests.release.result_files import evaluated

STAGES = """stages:
  sample:
    foreach: ${rounds}
    do:
      cmd: python -m alignloop sample --round ${key}
      outs: ["data/samples/${key}.jsonl"]
  label:
    foreach: ${rounds}
    do:
      cmd: python -m alignloop label --round ${key}
      metrics: ["metrics/rounds/${key}/label.json": {cache: false}]
  evaluate:
    foreach: ${rounds}
    do:
      cmd: python -m alignloop evaluate --round ${key}
      metrics: ["metrics/rounds/${key}/evaluate.json": {cache: false}]
"""
PRICES: dict[str, Any] = dict.fromkeys(Prices.model_fields, None)
NOTHING = dict.fromkeys(Prices.model_fields, 0.0)


def ranking(number: int, seconds: float | None, kind: Any = "person") -> Ranking:
    asked = Prompt(id=f"p{number}", messages=(Message(role="user", content="?"),), user="u", source="s")
    how = Labeling(presented=(0, 1), seconds=900.0, active_seconds=seconds, guidelines="g")
    return Ranking(
        id=f"r{number}",
        prompt=asked,
        responses=("a", "b"),
        ranks=(1, 2),
        labeler="l",
        kind=kind,
        simulated_by="gold" if kind == "panel" else None,
        policy="models/sft",
        round="r1",
        labeling=how if kind == "person" else None,
    )


@pytest.fixture
def labeled(project: Path) -> Path:
    """A round that people and simulated labelers ranked, and that was evaluated."""
    rankings = [ranking(0, 90.0), ranking(1, 30.0), ranking(2, None), ranking(3, None, "panel")]
    record_files.write(project / "data" / "rankings" / "r1" / "r1.jsonl", rankings)
    evaluated(project, r1=evaluation())
    counts = {"people": 3, "simulated (gold)": 1}
    (project / "metrics" / "rounds" / "r1" / "label.json").write_text(json.dumps({"rankings_by": counts}))
    (project / "dvc.yaml").write_text(STAGES)
    return project


def run_of(project: Path, stage: str, **points: float) -> tracking.ActiveRun:
    path = f"metrics/rounds/r1/{stage}.json"
    with tracking.run(project, f"{stage}@r1", "r1") as run:
        run.log(1, {f"cost/{name}": value for name, value in points.items()})
        run.finish(hashes(project, [path]))
    return run


def test_points_are_those_of_the_win_rate_over_the_policy_before() -> None:
    found = points_of(evaluation())  # 0.5625, interval −0.0625 +0.03125
    assert (found["gained"], found["low"], found["high"]) == (6.25, 0.0, 9.375)
    assert found["judged_by"] == "gold"
    judged = {**evaluation(gold=None), "judge": {"judge_model": {"rate": 0.5, "low": 0.4, "high": 0.7}}}
    found = points_of(judged)
    assert found["judged_by"] == "the round's reward model, which training raises"
    assert found["independent_over_sft"] == {"judge_model": {"gained": 0.0, "low": -10.0, "high": 20.0}}


def test_what_has_a_price_is_summed_and_what_has_none_is_named() -> None:
    used = {**NOTHING, "people_hour": 2.0, "cpu_hour": 0.5, "judge_call": 100.0}
    prices = Prices(**{**PRICES, "people_hour": 20.0, "judge_call": 0.05, "gpu_hour": 3.0})
    found = costs_of(used, prices, {"gained": 5.0, "low": 2.5, "high": 10.0})
    assert found["costs"] == {"people_hour": 40.0, "gpu_hour": 0.0, "judge_call": 5.0}
    assert (found["cost"], found["not_priced"]) == (45.0, ["cpu_hour"])
    assert found["cost_per_point"] == {"cost": 9.0, "low": 4.5, "high": 18.0}
    perhaps = costs_of(used, prices, {"gained": 5.0, "low": -1.0, "high": 10.0})
    assert perhaps["cost_per_point"]["high"] is None
    assert costs_of(used, prices, {"gained": 0.0, "low": -1.0, "high": 1.0})["cost_per_point"] is None
    free = costs_of(used, Prices(**PRICES), {"gained": 5.0, "low": 2.5, "high": 10.0})
    assert (free["cost"], free["cost_per_point"]) == (None, None)


def test_a_rounds_ledger_has_peoples_minutes_hours_by_stage_and_what_no_run_tells(labeled: Path) -> None:
    override(labeled / "params.yaml", changes={"ledger.prices.people_hour": 30.0})
    run_of(labeled, "label", process_seconds=7200, cpu_seconds=3600, calls=8, prompt_tokens=500)
    ledger = round_ledger(labeled, load(labeled / "params.yaml"), "r1")
    assert ledger["labels"] == {
        "people": {"rankings": 3, "measured": 2, "minutes": 2.0},
        "simulated (gold)": {"rankings": 1, "measured": 0, "minutes": None},
    }
    label = ledger["stages"]["label"]
    assert (label["process_hours"], label["cpu_hours"], label["gpu_hours"]) == (2.0, 1.0, 0.0)
    assert (label["calls"], label["prompt_tokens"], label["completion_tokens"]) == (8, 500, 0)
    # nothing was sampled here, and no run has evaluated
    assert (ledger["stages"]["evaluate"], ledger["not_metered"]) == (None, ["sample", "evaluate"])
    assert ledger["cost"] == 1.0  # two minutes at 30 an hour
    assert ledger["not_priced"] == ["cpu_hour", "judge_call", "judge_million_prompt_tokens"]
    assert ledger["cost_per_point"] == {"cost": 0.16, "low": round(1 / 9.375, 6), "high": None}


def test_the_ledger_is_in_a_file_in_mlflow_and_in_the_report(labeled: Path) -> None:
    params = load(labeled / "params.yaml")
    params = params.model_copy(update={"rounds": {"r1": params.rounds["r1"]}})
    run_of(labeled, "label", cpu_seconds=3600)
    with tracking.run(labeled, "evaluate@r1", "r1") as run:
        run.log(1, {"cost/cpu_seconds": 1800.0})
        run.flush()
        points = keep_ledger(labeled, params, "r1", run)
        run.finish(hashes(labeled, ["metrics/rounds/r1/evaluate.json"]))
    assert points["ledger/points_gained"] == 6.25
    assert (points["ledger/cpu_hours"], points["ledger/people_minutes"]) == (1.5, 2.0)
    assert "ledger/cost" not in points  # nothing is priced
    file = labeled / "reports" / "ledger" / "r1.json"
    written = file.read_bytes()
    [kept] = labeled.rglob("mlruns/**/reports/ledger/r1.json")
    assert kept.read_bytes() == written
    report = labeled / "reports" / "results.md"
    report.write_text("# Results\n")
    add_to_report(labeled, params, report)
    assert file.read_bytes() == written, "the same runs give the same bytes"
    text = report.read_text()
    assert text.startswith("# Results\n\n## What each round cost and what it bought\n\n| round")
    assert "r1 3 people in 2.0 minutes (2 measured), 1 simulated (gold)." in text
    assert "6.2 [0.0, 9.4]" in text
    assert "Costs in EUR, by ledger.prices in params.yaml; not priced: CPU hours, people's hours." in text
    assert "Not metered in this store, so not counted: r1: sample.\n" in text
    assert text.endswith(written_ledgers(labeled, ["r1", "r2"]))
    assert written_ledgers(labeled, ["r2"]) == ""


def test_names_of_rounds_and_labelers_are_text(labeled: Path) -> None:
    ledger = round_ledger(labeled, load(labeled / "params.yaml"), "r1")
    part = {"rankings": 2, "measured": 0, "minutes": None}
    text = ledger_text([{**ledger, "labels": {"imported from <b>|x.jsonl": part}}])
    assert "\\<b\\>\\|x.jsonl (time not measured)" in text
    assert "Not metered in this store, so not counted: r1: sample, label, evaluate." in text
