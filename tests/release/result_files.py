"""The files of evaluated and released rounds, for tests of what is made of them."""

import json
from pathlib import Path
from typing import Any

from alignloop import tracking
from alignloop.data import record_files
from alignloop.evaluation.results_table import gather
from alignloop.pipeline.stage_files import hashes
from alignloop.records import EvaluatedResponse, Message, Prompt
from alignloop.release.gates import OPTIONAL, RULES
from tests.evaluation.evaluations import evaluation

HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)> [a](javascript:alert(3)) "quoted" \u202e'


def verdict(**rules: dict[str, Any]) -> dict[str, Any]:
    """A verdict in which every gate is met but for these."""
    met = {name: {"value": 1.0, "bound": 1.0, "met": True} for name in RULES if name not in OPTIONAL}
    every = met | rules
    return {
        "passed": all(rule["met"] is not False for rule in every.values()),
        "against_champion": False,
        "wins": {"gold": None, "reward_model": {"rate": 0.5, "low": 0.4, "high": 0.6, "n": 8, "ties": 0.0}},
        "behaviour_falls": {"false_premise": 0.25, "fact": 0.0},
        "rules": every,
        "rankings_by": {"simulated (gold)": 8},
    }


def evaluated(project: Path, **rounds: dict[str, Any]) -> None:
    for name, report in rounds.items():
        folder = project / "metrics" / "rounds" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluate.json").write_text(json.dumps(report))


def released(project: Path, decided: dict[str, Any], **rounds: dict[str, Any]) -> None:
    (project / "metrics" / "release.json").write_text(json.dumps({**gather(rounds, {}), "verdict": decided}))


def reply(model: str, text: str, number: int, category: str) -> EvaluatedResponse:
    messages = (Message(role="user", content=f"{category} {number}? {HOSTILE}"),)
    prompt = Prompt(id=f"{category}-{number}", messages=messages, user="u", category=category, source="s")
    judged = {"gold": 1.0, "passed": model == "policy", "made_up": None, "over_refused": None}
    return EvaluatedResponse(
        id=f"{model}-{prompt.id}",
        prompt=prompt,
        model=model,
        response=text,
        tokens=3,
        ended=True,
        score=0.5,
        **judged,
    )


def make_rounds(project: Path) -> Path:
    """Two rounds, evaluated and released, with their responses and one picture."""
    reports = {"r1": evaluation(), "r2": evaluation(rate=0.75)}
    evaluated(project, **reports)
    released(project, verdict(), **reports)
    for name in reports:
        replies = [
            reply(model, f"{model} of {name} {HOSTILE}", number, category)
            for category in ("fact", "false_premise")
            for number in range(9)
            for model in ("base", "sft", "policy")
        ]
        (project / "data" / "evaluation" / name).mkdir(parents=True)
        record_files.write(project / "data" / "evaluation" / name / "responses.jsonl", replies)
    return project


def lineage_of(root: Path) -> dict[str, str]:
    """Runs that made the models, as their stages would have left them; returns hashes by path."""
    (root / "data" / "demonstrations").mkdir()
    (root / "data" / "demonstrations" / "train.jsonl").write_text('{"labeler":"ann"}\n' * 3)
    found = hashes(root, ["data/demonstrations", "models/sft", "models/r2/reward", "models/r2/policy"])
    steps = (
        ("sft", None, ["data/demonstrations"], "models/sft"),
        ("reward", "r2", ["models/sft"], "models/r2/reward"),
        ("ppo", "r2", ["models/sft", "models/r2/reward"], "models/r2/policy"),
    )
    for stage, round, inputs, out in steps:
        with tracking.run(root, stage, round, inputs={path: found[path] for path in inputs}) as live:
            live.finish({out: found[out]})
    return found
