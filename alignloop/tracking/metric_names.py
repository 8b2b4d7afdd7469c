"""The names of metrics in MLflow: grouped by stage, so that charts are in groups, and the headlines.

`ppo/kl` or `dpo/kl` is a curve or a headline, `ppo/results/final_kl` a number of metrics/rounds/*/ppo.json
by its key there. MLflow makes one section of charts of what has the same text before the last slash.
"""

import re
from collections.abc import Mapping
from typing import Any

GROUPS = {"evaluate": "eval"}  # of other stages: their name

# Of each stage, the numbers that are columns of MLflow's table, on the stage's run and on its loop's: the
# name there, and the key in the stage's metrics file.
HEADLINES: dict[str, dict[str, str]] = {
    "ingest": {"records": "total.records"},
    "prepare": {
        "prompts": "prompts.train",
        "demonstrations": "demonstrations.train",
        "documents": "corpus.train",
    },
    "pretrain": {"valid_loss": "loss", "perplexity": "perplexity"},
    "sft": {"valid_loss": "valid_loss", "valid_perplexity": "valid_perplexity"},
    "sample": {"responses": "responses", "ended": "ended"},
    "label": {"rankings": "rankings", "ties": "ties"},
    "reward": {"valid_accuracy": "valid_accuracy", "train_accuracy": "train_accuracy"},
    "ppo": {
        "score": "final_score",
        "kl": "final_kl",
        "entropy": "final_entropy",
        "length": "final_length",
        "ended": "final_ended",
    },
    "dpo": {
        "score": "final_score",
        "kl": "final_kl",
        "entropy": "final_entropy",
        "length": "final_length",
        "ended": "final_ended",
        "valid_loss": "final_valid_loss",
        "valid_accuracy": "final_valid_accuracy",
    },
    "evaluate": {
        "win_rate": "win_rates.policy_vs_sft.rate",
        "win_rate_vs_before": "win_rates.policy_vs_before.rate",
        "gold": "models.policy.gold",
        "passed": "models.policy.passed",
        "score": "models.policy.score",
        "kl": "kl_to_sft_nats",
        "distinct_2": "models.policy.distinct_2",
        "length": "models.policy.length",
        "perplexity": "models.policy.perplexity",
        "reward_accuracy": "reward_model.accuracy_labelers",
    },
}
COLUMNS = ("eval/win_rate", "eval/gold", "eval/kl", "ppo/score", "reward/valid_accuracy", "sft/valid_loss")


def group(stage: str) -> str:
    """Return the group of a stage's metrics, by its name in `python -m alignloop STAGE`."""
    return GROUPS.get(stage, stage)


def grouped(stage: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return curves' values by their names in MLflow."""
    return {f"{group(stage)}/{name}": value for name, value in metrics.items()}


def part_of_name(text: str) -> str:
    """Return a text as a part of a metric's name: a path has no root, and MLflow takes no other signs."""
    parts = (re.sub(r"[^\w.: -]", "_", part) for part in text.split("/"))
    return "/".join(part for part in parts if part.strip("."))


def of_tasks(stage: str, tasks: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of the harness's tasks by model: `eval/tasks/sft/gsm8k 4 shots/acc`."""
    points: dict[str, float] = {}
    for model, of_model in tasks.items():
        for task, by_shots in of_model.items():
            for shots, metrics in by_shots.items():
                place = f"{group(stage)}/tasks/{model}/{part_of_name(task)} {shots} shots"
                points |= _of_task(place, metrics)
    return points


def _of_task(place: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The value of each metric, and its bounds where they are known."""
    values = {name: found for name, found in metrics.items() if isinstance(found, Mapping)}
    return {
        f"{place}/{part_of_name(name)}{suffix}": found[key]
        for name, found in values.items()
        for key, suffix in (("value", ""), ("low", " low"), ("high", " high"))
        if found[key] is not None
    }


def results(stage: str, leaves: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a metrics file, by its dotted keys, as MLflow has them."""
    return {
        f"{group(stage)}/results/{key}": leaf for key, leaf in leaves.items() if isinstance(leaf, int | float)
    }


def headlines(stage: str, leaves: Mapping[str, Any]) -> dict[str, float]:
    """Return the headlines among the numbers of a stage's metrics file; one that is null is left out."""
    wanted = {f"{group(stage)}/{name}": leaves.get(key) for name, key in HEADLINES.get(stage, {}).items()}
    return {name: value for name, value in wanted.items() if isinstance(value, int | float)}
