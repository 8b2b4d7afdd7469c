"""Rules that no reviewer should have to check: layers, what DVC must see, files that mirror each other."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from prefect.tasks import Task

from alignloop import params
from alignloop.params.binding import sections
from alignloop.params.rollout import RolloutEngine
from alignloop.pipeline.code_deps import BY, METHODS, written
from alignloop.pipeline.loop import NO_PART_OF_THE_RESULT
from tasks.stage_task import Outcome

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def body(stage: str) -> dict[str, Any]:
    return STAGES[stage].get("do", STAGES[stage])


def functions_of(stage: str) -> list[str]:
    """The functions that a stage runs: one, or one of each method of a round."""
    function = shlex.split(body(stage)["cmd"])[3]
    return list(METHODS) if function == BY else [function]


def by(method: str, names: list[str]) -> list[str]:
    return [name.replace(BY, method) for name in names]


def test_the_code_in_deps_is_what_each_stage_imports() -> None:
    assert written(ROOT) == (ROOT / "dvc.yaml").read_text(encoding="utf-8"), (
        "dvc.yaml is stale: run `make deps`"
    )


def test_a_stage_depends_on_its_own_parameters_and_on_those_of_no_other() -> None:
    deps = {
        name: {dep for dep in body(name)["deps"] if dep.startswith("alignloop/params/")} for name in STAGES
    }
    for method in METHODS:
        own = f"alignloop/params/{method}.py"
        using = {name for name, files in deps.items() if own in by(method, [*files])}
        assert using == {"ppo"}, "a new or changed key of PPO or DPO runs nothing before the policy"
        others = {f"alignloop/params/{other}.py" for other in METHODS if other != method}
        assert not others & set(by(method, [*deps["ppo"]])), "and nothing of a round by another method"
    assert not [
        files
        for files in deps.values()
        if "alignloop/params" in files or "alignloop/params/__init__.py" in files
    ]


def test_a_stage_names_in_dvc_yaml_the_parameters_that_its_function_asks_for() -> None:
    for name in STAGES:
        asked: set[str] = set()
        for function in functions_of(name):
            module = importlib.import_module(f"alignloop.stages.{function}")
            asked_here = set(sections(getattr(module, function)).values())
            named = {key.split(".")[0] for key in by(function, body(name)["params"])}
            assert asked_here - {"people", "compute", "scoring"} <= named, f"{name}: {function} asks for more"
            assert ("threads" in named) == ("compute" in named), (
                f"{name}: a stage that runs a model names both"
            )
            asked |= asked_here
        everything = {
            key.split(".")[0] for each in functions_of(name) for key in by(each, body(name)["params"])
        }
        assert asked - {"people", "compute", "scoring"} == everything - {"threads", "compute"}, (
            f"{name}: no result depends on `people` or `scoring`, a run sets `compute`; others are in both"
        )


def test_a_missing_or_needless_dependency_is_put_right(tmp_path: Path) -> None:
    lines = (ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    wrong = [line for line in lines if "alignloop/seeds.py" not in line]
    place = wrong.index("      - alignloop/stages/ingest.py\n")
    wrong.insert(place, "      - alignloop/core/ppo_update.py\n")
    (tmp_path / "dvc.yaml").write_text("".join(wrong), encoding="utf-8")
    (tmp_path / "alignloop").symlink_to(ROOT / "alignloop")
    assert written(tmp_path) == "".join(lines)


def test_stages_holds_the_pipelines_stages_and_nothing_else() -> None:
    files = {file.stem for file in (ROOT / "alignloop" / "stages").glob("*.py")} - {"__init__"}
    assert files == {function for stage in STAGES for function in functions_of(stage)}


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

        def bring(*names: str, force: list[str], seen: list[tuple[Any, ...]] = updated) -> Outcome:
            seen.append(names)
            return Outcome(names[0], "unchanged", 0.0)

        monkeypatch.setattr("tasks.stages.bring_up_to_date", bring)
        rounds = ("r1",) if "foreach" in STAGES[stage] else ()
        task.fn(*rounds, force=[])
        assert updated == [(stage, *rounds)]


def test_params_yaml_mirrors_the_params_key_by_key_and_dvc_names_only_keys_that_exist() -> None:
    values: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert params.parse(values, "params.yaml").model_dump(by_alias=True) == values
    assert list(values) == [field.alias or name for name, field in params.Params.model_fields.items()]
    used = {key for stage in STAGES for method in METHODS for key in by(method, body(stage)["params"])}
    assert {key.split(".")[0] for key in used} <= set(values)
    # rounds are unrolled into stages; no result depends on pages, prices, parallel passes or checkpoints
    assert set(values) - {key.split(".")[0] for key in used} <= {
        "rounds",
        "people",
        "serving",
        "scoring",
        "ledger",
        "parallel_passes",
        "memory_check",
        "checkpoint_every",
        "checkpoint_minutes",
    }
    kinds = {f"compute.{key}" for key in values["compute"]} - {"compute.launch", "compute.elastic"}
    for stage in STAGES:
        named = {key for key in body(stage)["params"] if key.startswith("compute")}
        assert named in (set(), kinds), f"{stage}: how processes are started is no part of the result"


def test_where_a_sampler_is_asked_is_no_part_of_the_result() -> None:
    named = {stage: {key for key in body(stage)["params"] if key.startswith("rollout")} for stage in STAGES}
    assert {stage: keys for stage, keys in named.items() if keys} == {
        "sample": {"rollout.engine"},
        "ppo": {"rollout.engine", "rollout.truncate"},
        "evaluate": {"rollout.engine"},
    }
    others = {f"rollout.{key}" for key in RolloutEngine.model_fields} - {"rollout.engine", "rollout.truncate"}
    assert others == {key for key in NO_PART_OF_THE_RESULT if key.startswith("rollout.")}


def test_the_deployment_names_a_flow_that_can_be_loaded() -> None:
    for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        flow = load_flow_from_entrypoint(deployment["entrypoint"])
        assert flow.name in ("alignloop", "alignloop-watch")
        given = [deployment, *deployment["schedules"]]
        assert {name for each in given for name in each.get("parameters", {})} <= set(
            flow.parameters.properties
        )
        assert all(field["description"] for field in flow.parameters.properties.values())
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


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, Any]]:
    """Every node of these kinds in the code, with its file and line."""
    for place in ("alignloop", "flows", "tasks"):
        for file in sorted((ROOT / place).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, kinds):
                    yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def test_torch_distributed_is_known_to_ranks_and_sharding_only() -> None:
    """A contract of import-linter cannot name a part of a package."""
    found = set()
    for place, node in nodes(ast.Import, ast.ImportFrom):
        names = [f"{getattr(node, 'module', None) or ''}.{alias.name}".lstrip(".") for alias in node.names]
        if any(name == "torch.distributed" or name.startswith("torch.distributed.") for name in names):
            found.add(place.split(":")[0])
    assert found <= {"alignloop/core/ranks.py", "alignloop/core/sharding.py"}
    assert "alignloop/core/ranks.py" in found


def test_conditional_expressions_are_not_nested() -> None:
    nested = [
        place
        for place, node in nodes(ast.IfExp)
        if any(isinstance(part, ast.IfExp) for part in ast.walk(node) if part is not node)
    ]
    assert not nested, f"a conditional expression within another; use `if` statements: {nested}"


def test_an_assignment_packs_two_values_at_most() -> None:
    packed = [
        place
        for place, node in nodes(ast.Assign)
        if any(isinstance(target, ast.Tuple) for target in node.targets)
        and isinstance(node.value, ast.Tuple)
        and len(node.value.elts) > 2
    ]
    assert not packed, f"three values or more in one assignment; give each a line: {packed}"


def test_calls_have_five_positional_arguments_at_most() -> None:
    variadic = {"Index", "git", "has_keys", "op.create_table", "select"}  # take lists
    long = [
        f"{place} {ast.unparse(node.func)}"
        for place, node in nodes(ast.Call)
        if len(node.args) > 5
        and not any(isinstance(argument, ast.Starred) for argument in node.args)
        and ast.unparse(node.func) not in variadic
    ]
    assert not long, f"more than five positional arguments; pass the later ones by keyword: {long}"


def test_modules_of_a_known_name_are_imported_by_statement() -> None:
    imported = [
        place
        for place, node in nodes(ast.Call)
        if ast.unparse(node.func).split(".")[-1] == "import_module"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
    assert not imported, f"`import_module` of a literal name; use an `import` statement: {imported}"


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
