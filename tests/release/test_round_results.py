"""The results of the rounds on disk: rows, gates with their margins, and warnings."""

import json
from pathlib import Path
from typing import Any

import pytest

from alignloop.evaluation.chance import at_chance
from alignloop.release.gates import gate_rows
from alignloop.release.round_results import ResultsError, first_of_each, overview, read_results
from tests.evaluation.evaluations import evaluation
from tests.release.result_files import evaluated, released, verdict


def test_a_gate_says_its_bound_and_its_margin() -> None:
    decided = verdict(
        min_win_rate={"value": 0.525, "bound": 0.5, "met": True},
        max_length_drift={"value": 0.5, "bound": 0.25, "met": False},
        max_kl_per_response_nats={"value": 2.5, "bound": None, "met": None},
        min_distinct_2_ratio={"value": None, "bound": 0.5, "met": False},
        validated={"value": 2, "bound": 0, "met": False},
        traced={"value": 0, "bound": 0, "met": True},
    )
    rows = dict(zip(decided["rules"], gate_rows(decided), strict=True))

    def said(name: str) -> tuple[str, str, str, str]:
        row = rows[name]
        return row.value, row.bound, row.margin, row.outcome

    assert said("min_win_rate") == ("0.525", "≥ 0.500", "0.025", "met")
    assert said("max_length_drift") == ("0.500", "≤ 0.250", "−0.250", "NOT MET")
    assert said("max_kl_per_response_nats") == ("2.500", "–", "–", "not asked")
    assert said("min_distinct_2_ratio") == ("–", "≥ 0.500", "–", "NOT MET")
    assert said("validated") == ("2", "≤ 0", "−2", "NOT MET")
    assert said("traced") == ("0", "≤ 0", "0", "met")
    assert rows["max_behaviour_fall"].rule.endswith("(false premise)"), "the behaviour that fell most"


def test_there_are_no_results_before_the_first_evaluation(project: Path) -> None:
    assert read_results(project) is None


def test_a_verdict_counts_only_for_the_rounds_that_it_compared(project: Path) -> None:
    evaluated(project, r1=evaluation())
    results = read_results(project)
    assert results
    assert (results.rounds, results.verdict) == (["r1"], None)
    assert results.warnings == [
        "No release has compared these rounds yet: `make run` does, when all rounds are done."
    ]
    released(project, verdict(), r1=evaluation())
    results = read_results(project)
    assert results
    assert results.verdict
    assert results.warnings == []
    evaluated(project, r2=evaluation(rate=0.75))
    results = read_results(project)
    assert results
    assert (results.rounds, results.verdict) == (["r1", "r2"], None)


def test_warnings_name_missed_gates_few_prompts_and_reward_models_at_chance(project: Path) -> None:
    report = evaluation()
    report["win_rates"]["policy_vs_sft"] = {"rate": 0.5, "low": 0.3, "high": 0.7, "n": 24, "ties": 0.0}
    missed = verdict(max_length_drift={"value": 0.5, "bound": 0.25, "met": False})
    evaluated(project, r1=report)
    released(project, missed, r1=report)
    rewards = project / "metrics" / "rounds" / "r1" / "reward.json"
    rewards.write_text(json.dumps({"valid_accuracy": 0.55, "valid_pairs": 100}))
    results = read_results(project)
    assert results
    gate, prompts, chance = results.warnings
    assert gate.startswith("A gate is not met: ")
    assert gate.endswith(" is 0.500, and should be ≤ 0.250.")
    assert prompts.startswith("Too little data: 24 test prompts: a win rate is known to ±19 points only; ")
    assert chance.startswith("The reward model of r1 orders 55.0% of 100 held-out pairs as the labelers did")
    said = overview(results)
    assert all(f"! {warning}" in said.replace("\n  ", " ") for warning in results.warnings)
    assert max(map(len, said.splitlines())) <= 110
    rewards.write_text(json.dumps({"valid_accuracy": 0.75, "valid_pairs": 100}))
    again = read_results(project)
    assert again
    assert again.warnings == [gate, prompts]


def test_a_round_that_is_older_than_what_it_depends_on_is_said_to_be(project: Path) -> None:
    evaluated(project, r1=evaluation(), r2=evaluation(rate=0.75))

    def lock(policy: str) -> None:
        """Record the evaluations, both of the policy p1, while there is this one."""
        stages: dict[str, Any] = {"ppo@r1": {"outs": [{"path": "models/r1/policy", "md5": policy}]}}
        for name in ("r1", "r2"):
            deps = [{"path": "models/r1/policy", "md5": "p1"}]
            outs = [{"path": f"data/evaluation/{name}", "md5": name}]
            stages[f"evaluate@{name}"] = {"deps": deps, "outs": outs}
        (project / "dvc.lock").write_text(json.dumps({"stages": stages}))

    def older(just_evaluated: str | None = None) -> list[str]:
        results = read_results(project, just_evaluated)
        assert results
        return [warning[15:17] for warning in results.warnings if "are older than" in warning]

    lock("p1")
    assert older() == []
    lock("p2")
    assert older() == ["r1", "r2"]
    assert older("r1") == ["r2"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", "<<<<<<< HEAD"])
def test_a_broken_file_is_named_with_the_stage_that_makes_it_again(project: Path, text: str) -> None:
    evaluated(project, r1=evaluation())
    (project / "metrics" / "rounds" / "r1" / "evaluate.json").write_text(text)
    with pytest.raises(ResultsError, match=r"r1/evaluate\.json: .* `dvc repro --force evaluate@r1`"):
        read_results(project)


def test_prompts_are_shown_one_of_each_category_in_turn_in_their_order() -> None:
    assert first_of_each(["b", "b", "a", "b", "a", "b"], 5) == [2, 0, 4, 1, 3]
    assert first_of_each(["other"] * 5, 3) == [0, 1, 2]
    assert first_of_each([], 3) == []


@pytest.mark.parametrize(
    ("accuracy", "pairs", "is_at_chance"),
    [(0.6, 100, True), (0.61, 100, False), (0.3, 10, True), (None, 0, False)],
)
def test_an_accuracy_within_two_standard_errors_of_a_half_is_chance(
    accuracy: float | None, pairs: int, is_at_chance: bool
) -> None:
    assert at_chance(accuracy, pairs) is is_at_chance
