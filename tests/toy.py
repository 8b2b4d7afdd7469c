"""A pipeline of the real stages' names, each a shell command that takes no time."""

import json
from pathlib import Path
from typing import Any

import yaml

from alignloop.evaluation.results_table import PLAIN, REWARD, gather
from alignloop.params import load
from alignloop.pipeline.overrides import override
from alignloop.release.gates import OPTIONAL, RULES

FIRST = ["ingest", "validate_raw", "prepare", "validate_sets", "pretrain", "sft"]
ROUND = ["sample", "label", "validate_rankings", "reward", "ppo", "evaluate"]
ROUNDS = ["r1", "r2"]


def make(project: Path) -> Path:
    """Put the pipeline into a project."""
    stages: dict[str, Any] = {}
    before = "source.txt"
    for name in FIRST:
        stages[name] = stage(name, before)
        before = f"out/{name}.txt"
    for name in ROUND:
        after = "out/sft.txt" if name == "sample" else f"out/{ROUND[ROUND.index(name) - 1]}-${{key}}.txt"
        stages[name] = {"foreach": "${rounds}", "do": stage(f"{name}-${{key}}", after)}
    rounds = load(project / "params.yaml").model_dump()["rounds"]
    override(project / "params.yaml", changes={"rounds": {round: rounds[round] for round in ROUNDS}})
    (project / "release.json").write_text(json.dumps(results()))
    (project / "releases").mkdir()
    (project / "releases" / "champion.json").write_text('{"champion": null, "previous": null}')
    stages["release"] = {
        "cmd": "mkdir -p metrics && cp release.json metrics/",
        "deps": ["out", "release.json"],
        "metrics": [{"metrics/release.json": {"cache": False}}],
    }
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (project / "source.txt").write_text("bytes\n")
    (project / "data" / "sources").mkdir(parents=True)
    return project


def change(toy: Path, name: str, command: str) -> None:
    """Let a stage run another command."""
    stages = yaml.safe_load((toy / "dvc.yaml").read_text())
    entry = stages["stages"][name]
    entry.get("do", entry)["cmd"] = command
    (toy / "dvc.yaml").write_text(yaml.safe_dump(stages, sort_keys=False))


def stage(name: str, after: str, **more: Any) -> dict[str, Any]:
    file = name.replace("@", "-")
    command = (
        f"mkdir -p out metrics && cat {after} > out/{file}.txt && echo {file} >> out/{file}.txt && echo "
        f"working on {file}"
    )
    measure = f"""echo '{{"loss": 0.25, "by": {{"kind": 3}}}}' > metrics/{file}.json"""
    outs = {"outs": [f"out/{file}.txt"], "metrics": [{f"metrics/{file}.json": {"cache": False}}]}
    return {"cmd": f"{command} && {measure}", "deps": [after], **outs, **more}


def results() -> dict[str, Any]:
    model = dict.fromkeys(PLAIN, 0.5) | {"behaviours": {"facts": {"n": 2, "passed": 0.5}}}
    win = {"rate": 0.5, "low": 0.4, "high": 0.6, "n": 2, "ties": 0.5}
    wins = dict.fromkeys(("sft_vs_base", "policy_vs_base", "policy_vs_sft", "policy_vs_before"), win)
    report = {
        "models": dict.fromkeys(("base", "sft", "policy"), model),
        "win_rates": wins | {"policy_vs_sft_length_controlled": 0.5},
        "kl_to_sft_nats": 1.0,
        "reward_model": dict.fromkeys(REWARD, 0.7),
    }
    verdict = {
        "passed": True,
        "against_champion": False,
        "wins": {"gold": None, "reward_model": win},
        "behaviour_falls": {},
        "rankings_by": {"simulated (form)": 8},
    }
    rules = {name: {"value": 1.0, "bound": 1.0, "met": True} for name in RULES if name not in OPTIONAL}
    rankings = {name: {"simulated (form)": 4} for name in ROUNDS}
    return gather(dict.fromkeys(ROUNDS, report), rankings) | {"verdict": verdict | {"rules": rules}}
