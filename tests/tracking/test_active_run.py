"""A stage's MLflow run has parameters, curves and files, and is found by its outputs."""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.errors import AlignloopError
from alignloop.pipeline.git import RevisionError
from tests.tracking.mlflow_runs import MD5, mlflow_run, points


def test_a_run_is_found_by_the_path_and_hash_of_its_outputs(project: Path):
    for hash in ("a" * 32, "b" * 32):
        with tracking.run(project, "sft") as run:
            run.finish({"models/sft": f"{hash}.dir", "metrics/sft.json": MD5})
    found = tracking.find_run(project, {"models/sft": "a" * 32 + ".dir"})
    assert found is not None
    assert found.outputs == {"models/sft": "a" * 32 + ".dir", "metrics/sft.json": MD5}
    assert (
        tracking.find_run(project, {"models/sft": "a" * 32 + ".dir", "metrics/sft.json": "c" * 32}) is None
    ), "every hash must fit"
    assert tracking.find_run(project, {"models/other": "a" * 32 + ".dir"}) is None
    assert [run.outputs["models/sft"][0] for run in tracking.runs(project)] == ["b", "a"], "newest first"


def test_of_runs_with_the_same_outputs_the_newest_finished_one_is_found(project: Path):
    ids = []
    for _ in range(2):
        with tracking.run(project, "sft") as run:
            run.finish({"models/sft": MD5})
            ids.append(run.id)
    with suppress(ZeroDivisionError), tracking.run(project, "sft") as run:
        run.finish({"models/sft": MD5})
        raise ZeroDivisionError
    found = tracking.find_run(project, {"models/sft": MD5})
    assert found is not None
    assert found.id == ids[1]


def test_a_run_has_its_stage_round_commit_parameters_and_datasets(project: Path):
    (project / "data" / "prompts").mkdir(parents=True)
    (project / "data" / "prompts" / "train.jsonl").write_text("{}\n{}\n{}\n")
    inputs = {"data/prompts": f"{MD5}.dir", "models/sft": MD5}
    with tracking.run(
        project,
        "ppo",
        "r2",
        params={"ppo": {"steps": 4, "kl": {"coef": 0.1}}, "seed": 1},
        inputs=inputs,
        code={"alignloop/core": MD5},
    ):
        pass
    [run] = tracking.runs(project)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert (run.stage, run.round, run.status, run.commit, run.dirty) == (
        "ppo",
        "r2",
        "FINISHED",
        commit,
        False,
    )
    assert (run.inputs, run.code) == (inputs, {"alignloop/core": MD5})
    assert run.params == {"ppo.steps": "4", "ppo.kl.coef": "0.1", "seed": "1"}
    assert run.sizes == {"data/prompts": {"records": 3, "files": 1, "bytes": 9}}, "models are no datasets"
    inputs_shown = mlflow_run(project, run).inputs
    assert inputs_shown is not None
    [dataset] = [entry.dataset for entry in inputs_shown.dataset_inputs]
    assert (dataset.name, dataset.digest) == ("data/prompts", f"{MD5}.dir")
    assert mlflow_run(project, run).info.run_name == "ppo · r2"
    assert run.url == f"http://127.0.0.1:5000/#/experiments/{run.experiment}/runs/{run.id}"


def test_a_run_is_dirty_if_code_changed_and_not_if_a_report_did(project: Path):
    (project / "results.md").write_text("new")
    with tracking.run(project, "sft"):
        pass
    (project / "dvc.yaml").write_text("stages: {} # changed\n")
    with tracking.run(project, "sft"):
        pass
    assert [run.dirty for run in tracking.runs(project)] == [True, False]


def test_curves_keep_every_point_and_need_few_requests(project: Path, monkeypatch: pytest.MonkeyPatch):
    with tracking.run(project, "sft") as active:
        client, batches = tracking.client(tracking.store_uri(project)), []
        monkeypatch.setattr(
            client,
            "log_batch",
            lambda *words, send=client.log_batch, **more: (batches.append(1), send(*words, **more)),
        )
        for step in range(1, 1201):
            active.log(step, {"loss": 1 / step, "odd name (%)": step})
        active.finish({})
    [run] = tracking.runs(project)
    assert points(project, run.id, "loss") == [(step, 1 / step) for step in range(1, 1201)]
    assert set(mlflow_run(project, run).data.metrics) == {"loss", "odd name ___"}
    assert len(batches) <= 8, "points are written together, not one by one"


def test_files_and_folders_are_uploaded_under_mlruns(project: Path):
    (project / "docs").mkdir()
    (project / "docs" / "index.html").write_text("<p>")
    (project / "sft.json").write_text("{}")
    with tracking.run(project, "sft") as run:
        run.finish({}, [(project / "sft.json", "metrics"), (project / "docs", "reports")])
    kept = project / "mlruns" / "artifacts" / run.id / "artifacts"
    assert sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()) == [
        "metrics/sft.json",
        "reports/index.html",
    ]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("rank 0"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_an_aborted_run_has_its_error_and_its_points(project: Path, error: BaseException, status: str):
    with suppress(type(error)), tracking.run(project, "label") as active:
        active.log(1, {"ties": 0.5})
        raise error
    [run] = tracking.runs(project)
    assert run.status == status
    assert mlflow_run(project, run).data.metrics == {"ties": 0.5}
    assert mlflow_run(project, run).data.tags["error"] == (str(error) or "KeyboardInterrupt")


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(project: Path):
    shutil.rmtree(project / "mlruns")
    (project / "mlruns").write_text("in the way")
    with (
        pytest.raises(AlignloopError, match=r"mlruns/running: cannot be written: .*; make it writable"),
        tracking.run(project, "sft"),
    ):
        pass


def test_no_run_opens_without_git(project: Path):
    (project / ".git").rename(project / "git")
    with (
        pytest.raises(RevisionError, match=r"not a git repository.*clone the project with git"),
        tracking.run(project, "sft"),
    ):
        pass
