"""A command's footprint is what dvc.yaml declares, read as DVC reads it."""

import json
import shlex
from pathlib import Path

import pytest

from alignloop.params import ParamsError
from alignloop.pipeline.dvc_pipeline import Pipeline
from alignloop.pipeline.stage_files import Footprint, entries, footprint

PROJECT = Path(__file__).parents[2]


def test_the_projects_stages_are_read_as_dvc_reads_them():
    ours = {entry.name + (f"@{entry.round}" if entry.round else ""): entry for entry in entries(PROJECT)}
    theirs = Pipeline(PROJECT).stages()
    assert list(ours) == list(theirs)
    for name, stage in theirs.items():
        entry = ours[name]
        assert (entry.command, entry.deps, entry.params) == (stage.command, stage.deps, stage.params)
        assert set(entry.outs) >= {*stage.outs, *stage.metrics}


def test_every_stage_of_the_project_is_found_by_its_command():
    for entry in entries(PROJECT):
        stage, *arguments = shlex.split(entry.command)[3:]
        found = footprint(PROJECT, stage, arguments, {})
        assert (found.stage, found.round, found.outputs) == (entry.name, entry.round, entry.outs)


def test_data_and_models_that_a_command_is_given_are_declared():
    for entry in entries(PROJECT):
        declared = {*entry.deps, *entry.outs}
        given = [word for word in shlex.split(entry.command) if word.startswith(("data/", "models/"))]
        missing = [
            word
            for word in given
            if not any(word == path or word.startswith(f"{path}/") for path in declared)
        ]
        assert not missing, f"{entry.name}: {missing} would leave dvc.lock and lineage without a trace"


def test_a_key_that_the_pipeline_reads_and_params_yaml_lacks_is_named(tmp_path: Path):
    (tmp_path / "dvc.yaml").write_text(
        "stages: {use: {foreach: '${rounds}', do: {cmd: 'use ${item.start}'}}}"
    )
    (tmp_path / "params.yaml").write_text("rounds: {r1: {policy: models/sft}}")
    with pytest.raises(ParamsError, match=r"dvc\.yaml reads \$\{item\.start\}, and 'start' is missing there"):
        list(entries(tmp_path))


def test_inputs_reach_to_the_outs_of_other_stages_around_and_inside_them(tmp_path: Path):
    stages = {
        "prepare": {"cmd": "python -m alignloop prepare", "outs": ["data/prompts", "data/corpus"]},
        "use": {
            "cmd": "python -m alignloop use --x 'a b'",
            "deps": ["data/prompts/train.jsonl", "models", "alignloop/core"],
            "outs": ["out"],
        },
        "train": {
            "cmd": "python -m alignloop train",
            "outs": [{"models/sft": {"cache": False}}],
            "plots": [{"models.csv": {"x": "step"}}],
        },
    }
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    found = footprint(
        tmp_path, "use", ["--x", "a b"], {"x": "a b", "out": Path("out/part"), "docs": Path("reports/use")}
    )
    assert found.inputs == ("data/prompts/train.jsonl", "models", "data/prompts", "models/sft")
    assert (found.outputs, found.code, found.pages) == (("out",), ("alignloop/core",), ("reports/use",))


def test_a_command_that_dvc_yaml_lacks_reads_what_is_there_and_makes_the_rest(tmp_path: Path):
    (tmp_path / "here").touch()
    found = footprint(tmp_path, "sft", [], {"round": "r1", "base": Path("here"), "out": Path("new")})
    assert found == Footprint("sft", "r1", ("here",), ("new",), code=(), pages=(), params=("sft",))


@pytest.mark.parametrize(
    ("key", "used"),
    [("ppo.kl.coef", True), ("ppo", True), ("ppo_kl", False), ("seed", True), ("sft.epochs", False)],
)
def test_a_stage_uses_the_keys_it_declares_and_all_below_them(key: str, used: bool):
    assert Footprint("ppo", None, (), (), code=(), pages=(), params=("ppo",)).uses(key) is used


def test_how_processes_are_started_is_no_part_of_a_stage() -> None:
    files = Footprint("ppo", "r1", inputs=(), outputs=(), code=(), pages=(), params=("ppo", "compute.device"))
    used = {"ppo.steps", "compute.processes", "compute.shard", "compute.device", "threads"}
    assert {
        key for key in {*used, "compute.launch", "compute.elastic", "sft.epochs"} if files.uses(key)
    } == used
