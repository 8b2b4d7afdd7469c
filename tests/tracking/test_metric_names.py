"""Metrics in MLflow are grouped by stage; headlines are found in what the stages really write."""

from pathlib import Path

from alignloop.tracking.metric_names import COLUMNS, HEADLINES, grouped, headlines, results

PROJECT = Path(__file__).parents[2]


def test_curves_headlines_and_results_have_the_stages_group():
    assert grouped("evaluate", {"policy_score": 1.0}) == {"eval/policy_score": 1.0}
    assert results("ppo", {"final_kl": 2, "name": "x", "none": None}) == {"ppo/results/final_kl": 2}
    assert headlines("ppo", {"final_kl": 2, "final_score": None, "rollouts": 9}) == {"ppo/kl": 2}
    assert headlines("validate", {"prompts.rows": 4}) == {}


def test_each_column_of_the_table_is_a_headline():
    groups = {"evaluate": "eval"}
    named = {f"{groups.get(stage, stage)}/{name}" for stage, names in HEADLINES.items() for name in names}
    assert set(COLUMNS) <= named
