"""The house rules that no reader should have to check: floors, dependencies that DVC must see, and the files that mirror each other."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from prefect.tasks import Task

from alignloop import params

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
HARMLESS = {
    "alignloop/errors.py",
    "alignloop/progress.py",
}  # they carry messages to people and change no result


def body(stage: str) -> dict[str, Any]:
    return STAGES[stage].get("do", STAGES[stage])


def function_of(stage: str) -> str:
    return shlex.split(body(stage)["cmd"])[3]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("alignloop", cache_dir=None)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_it_imports_and_no_other(
    stage: str, imports: grimp.ImportGraph
) -> None:
    module = f"alignloop.stages.{function_of(stage)}"
    files = set()
    for name in {module, *imports.find_upstream_modules(module)}:
        path = ROOT.joinpath(*name.split("."))
        file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
        if file.read_text().strip():
            files.add(file.relative_to(ROOT))
    deps = {Path(dep) for dep in body(stage)["deps"] if dep.startswith("alignloop")}
    seen = {file for file in files if any(dep == file or dep in file.parents for dep in deps)}
    assert (
        sorted(str(file) for file in files - seen if str(file) not in HARMLESS and file.name != "__init__.py")
        == []
    )
    assert (
        sorted(str(dep) for dep in deps if not any(dep == file or dep in file.parents for file in files))
        == []
    )


def test_every_stage_function_is_run_by_the_pipeline() -> None:
    written = {
        file.stem
        for file in (ROOT / "alignloop" / "stages").glob("*.py")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == file.stem
            for node in ast.parse(file.read_text()).body
        )
    }
    assert {function_of(stage) for stage in STAGES} == written - {"progress"}


def test_the_flow_covers_the_pipeline_with_one_task_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[str] = set()
    for file in ("pipeline.py", "iteration.py"):
        calls = (
            node
            for node in ast.walk(ast.parse((ROOT / "flows" / file).read_text()))
            if isinstance(node, ast.Call)
        )
        called |= {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    tasks: dict[str, Task[Any, Any]] = {}
    for file in (ROOT / "tasks").glob("[!_]*.py"):
        found = vars(importlib.import_module(f"tasks.{file.stem}")).items()
        tasks |= {name: value for name, value in found if isinstance(value, Task)}
    assert set(STAGES) <= called & set(tasks)
    assert set(tasks) - set(STAGES) == {"make_plan", "publish", "check_champion", "record"}
    for stage in STAGES:
        task = tasks[stage]
        assert task.name == stage
        assert task.retries
        assert task.retry_condition_fn
        assert task.timeout_seconds
        assert task.tags
        assert ("{round}" in str(task.task_run_name)) == ("foreach" in STAGES[stage])
        updated: list[tuple[Any, ...]] = []
        monkeypatch.setattr(
            "tasks.stages.bring_up_to_date", lambda *names, force, seen=updated: seen.append(names)
        )
        monkeypatch.setattr("tasks.stages.with_waiting_state", lambda outcome: outcome)
        rounds = ("r1",) if "foreach" in STAGES[stage] else ()
        task.fn(*rounds, force=[])
        assert updated == [(stage, *rounds)]


def test_params_yaml_mirrors_the_params_key_by_key_and_dvc_names_only_keys_that_exist() -> None:
    values: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert params.parse(values, "params.yaml").model_dump(by_alias=True) == values
    assert list(values) == [field.alias or name for name, field in params.Params.model_fields.items()]
    used = {key for stage in STAGES for key in body(stage)["params"]}
    assert {key.split(".")[0] for key in used} <= set(values)
    # rounds are unrolled into stages; no result depends on how pages look, on how many passes run at a time, or on checkpoints
    assert set(values) - used <= {"rounds", "people", "lanes", "checkpoint_every"}


def test_the_deployment_names_a_flow_that_can_be_loaded() -> None:
    for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        flow = load_flow_from_entrypoint(deployment["entrypoint"])
        assert flow.name == "alignloop"
        assert set(deployment["parameters"]) <= set(flow.parameters.properties)
        assert not any(schedule["active"] for schedule in deployment["schedules"])


def test_imports_keep_to_their_floors() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_every_requirement_is_pinned() -> None:
    pinned = {
        re.split(r"==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {re.split(r"[\[=<>!~; ]", name)[0].lower() for name in wanted} <= pinned


def test_files_fit_in_a_head() -> None:
    places = ("alignloop", "flows", "tasks", "tests")
    long = {
        str(file.relative_to(ROOT)): lines
        for place in places
        for file in (ROOT / place).rglob("*.py")
        if (lines := len(file.read_text().splitlines())) > 300
    }
    assert long == {}
    names = {file.stem for place in places[:3] for file in (ROOT / place).rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
