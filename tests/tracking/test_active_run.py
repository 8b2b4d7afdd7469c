"""A stage's run in MLflow holds what it did, is found by the bytes it made, and ends as its process did."""

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest
from werkzeug.serving import BaseWSGIServer, make_server

from alignloop import tracking
from alignloop.errors import AlignloopError
from alignloop.pipeline.git import RevisionError
from alignloop.tracking import active_run as live_run

MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def raw(root: Path, run: tracking.Run):
    return tracking.client(tracking.store(root)).get_run(run.id)


def test_a_run_is_found_by_the_path_and_hash_of_what_it_made(project: Path):
    for hash in ("a" * 32, "b" * 32):
        with tracking.run(project, "sft") as live:
            live.finish({"models/sft": f"{hash}.dir", "metrics/sft.json": MD5})
    found = tracking.find_run(project, {"models/sft": "a" * 32 + ".dir"})
    assert found is not None
    assert found.outputs == {"models/sft": "a" * 32 + ".dir", "metrics/sft.json": MD5}
    assert (
        tracking.find_run(project, {"models/sft": "a" * 32 + ".dir", "metrics/sft.json": "c" * 32}) is None
    ), "every hash must fit"
    assert tracking.find_run(project, {"models/other": "a" * 32 + ".dir"}) is None
    assert [run.outputs["models/sft"][0] for run in tracking.runs(project)] == ["b", "a"], "newest first"


def test_of_runs_that_made_the_same_bytes_the_newest_that_finished_is_found(project: Path):
    ids = []
    for _ in range(2):
        with tracking.run(project, "sft") as live:
            live.finish({"models/sft": MD5})
            ids.append(live.id)
    with suppress(ZeroDivisionError), tracking.run(project, "sft") as live:
        live.finish({"models/sft": MD5})
        raise ZeroDivisionError
    found = tracking.find_run(project, {"models/sft": MD5})
    assert found is not None
    assert found.id == ids[1]


def test_a_run_carries_its_stage_round_commit_parameters_and_datasets(project: Path):
    (project / "data" / "prompts").mkdir(parents=True)
    (project / "data" / "prompts" / "train.jsonl").write_text("{}\n{}\n{}\n")
    inputs = {"data/prompts": f"{MD5}.dir", "models/sft": MD5}
    with tracking.run(
        project,
        "ppo",
        "r2",
        {"ppo": {"steps": 4, "kl": {"coef": 0.1}}, "seed": 1},
        inputs,
        {"alignloop/core": MD5},
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
    inputs_shown = raw(project, run).inputs
    assert inputs_shown is not None
    [dataset] = [entry.dataset for entry in inputs_shown.dataset_inputs]
    assert (dataset.name, dataset.digest) == ("data/prompts", f"{MD5}.dir")
    assert raw(project, run).info.run_name == "ppo · r2"
    assert run.url == f"http://127.0.0.1:5000/#/experiments/{run.experiment}/runs/{run.id}"


def test_changed_code_is_noted_and_a_changed_report_is_not(project: Path):
    (project / "results.md").write_text("new")
    with tracking.run(project, "sft"):
        pass
    (project / "dvc.yaml").write_text("stages: {} # changed\n")
    with tracking.run(project, "sft"):
        pass
    assert [run.dirty for run in tracking.runs(project)] == [True, False]


def test_curves_keep_every_point_and_need_few_transactions(project: Path, monkeypatch: pytest.MonkeyPatch):
    with tracking.run(project, "sft") as live:
        client, batches = tracking.client(tracking.store(project)), []
        monkeypatch.setattr(
            client,
            "log_batch",
            lambda *words, send=client.log_batch, **more: (batches.append(1), send(*words, **more)),
        )
        for step in range(1, 1201):
            live.log(step, {"loss": 1 / step, "odd name (%)": step})
        live.finish({})
    [run] = tracking.runs(project)
    history = tracking.client(tracking.store(project)).get_metric_history(run.id, "loss")
    assert [(point.step, point.value) for point in history] == [(step, 1 / step) for step in range(1, 1201)]
    assert set(raw(project, run).data.metrics) == {"loss", "odd name ___"}
    assert len(batches) <= 8, "points are written together, not one by one"


def test_files_and_folders_are_kept_under_mlruns(project: Path):
    (project / "docs").mkdir()
    (project / "docs" / "index.html").write_text("<p>")
    (project / "sft.json").write_text("{}")
    with tracking.run(project, "sft") as live:
        live.finish({}, [(project / "sft.json", "metrics"), (project / "docs", "reports")])
    kept = project / "mlruns" / "artifacts" / live.id / "artifacts"
    assert sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()) == [
        "metrics/sft.json",
        "reports/index.html",
    ]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("rank 0"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_run_that_breaks_off_says_how_and_keeps_its_points(
    project: Path, error: BaseException, status: str
):
    with suppress(type(error)), tracking.run(project, "label") as live:
        live.log(1, {"ties": 0.5})
        raise error
    [run] = tracking.runs(project)
    assert run.status == status
    assert raw(project, run).data.metrics == {"ties": 0.5}
    assert raw(project, run).data.tags["error"] == (str(error) or "KeyboardInterrupt")


def _open_and_wait(root: Path, ready: Connection) -> None:
    with tracking.run(root, "ppo", "r1"):
        ready.send(True)
        signal.pause()


def _worker(root: Path) -> ForkProcess:
    """A process that has a run open."""
    here, there = Pipe()
    process = get_context("fork").Process(target=_open_and_wait, args=(root, there))
    process.start()
    assert here.poll(60)
    return process


def test_a_killed_process_leaves_a_run_that_the_next_stage_ends_and_a_living_one_is_left_alone(project: Path):
    living, dying = _worker(project), _worker(project)
    dying.kill()
    dying.join()
    try:
        with tracking.run(project, "ppo", "r1"):
            pass
        assert [run.status for run in tracking.runs(project)] == ["FINISHED", "KILLED", "RUNNING"]
    finally:
        living.kill()
        living.join()
    with tracking.run(project, "sft"):
        pass
    assert [run.status for run in tracking.runs(project)] == ["FINISHED", "FINISHED", "KILLED", "KILLED"]
    [note] = (project / "mlruns" / "running").iterdir()
    assert note.read_text().endswith(tracking.runs(project)[0].id), (
        "what has ended is settled when the next stage starts"
    )


def test_a_store_that_is_away_for_a_moment_loses_no_points(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_run, "FLUSH_SECONDS", 0.01)
    database = project / "mlruns" / "mlflow.db"
    with tracking.run(project, "sft") as live:
        database.rename(database.with_name("away"))
        database.mkdir()  # what SQLite finds here it cannot open
        live.log(1, {"loss": 3.0})
        until(lambda: live.away)
        database.rmdir()
        database.with_name("away").rename(database)
        live.log(2, {"loss": 2.0})
    history = tracking.client(tracking.store(project)).get_metric_history(live.id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0)]


def test_an_interrupted_run_goes_on_without_a_gap_and_without_a_point_twice(project: Path):
    for steps, error in ((4, KeyboardInterrupt), (6, ValueError), (8, None)):
        with suppress(KeyboardInterrupt, ValueError), tracking.run(project, "sft", fingerprint="f1") as live:
            for step in range(1, steps + 1):  # each attempt tells all it knows, from its checkpoint's curve
                live.log(step, {"loss": 1 / step})
            if error:
                raise error
            live.log(8, {"loss": 0.5})  # a result under the name of a curve
    [run] = tracking.runs(project)
    history = tracking.client(tracking.store(project)).get_metric_history(run.id, "loss")
    assert [(point.step, point.value) for point in history] == [
        *((step, 1 / step) for step in range(1, 9)),
        (8, 0.5),
    ]
    assert run.status == "FINISHED"
    assert "error" not in raw(project, run).data.tags


def test_a_run_that_ended_before_dvc_knew_of_it_goes_on_once_and_not_when_dvc_does(project: Path):
    def attempt() -> None:
        with tracking.run(
            project, "sft", None, {}, {"data/d": MD5}, {"alignloop/core": MD5}, fingerprint="f1"
        ) as live:
            live.log(1, {"loss": 0.5})
            live.finish({"models/sft": MD5})

    attempt()  # and SIGKILL before dvc.lock was written
    attempt()
    [run] = tracking.runs(project)
    assert len(tracking.client(tracking.store(project)).get_metric_history(run.id, "loss")) == 1
    deps = f"[{{path: data/d, md5: {MD5}}}, {{path: alignloop/core, md5: {MD5}}}]"
    (project / "dvc.lock").write_text(
        f"stages: {{sft: {{cmd: x, deps: {deps}, outs: [{{path: models/sft, md5: {MD5}}}]}}}}"
    )
    attempt()  # somebody wants it again
    assert [run.status for run in tracking.runs(project)] == ["FINISHED", "FINISHED"]
    (project / "dvc.lock").unlink()
    with tracking.run(project, "ppo"):
        pass
    attempt()  # others have worked since: it was no interruption
    assert len([run for run in tracking.runs(project) if run.stage == "sft"]) == 3


def test_other_work_and_finished_work_get_runs_of_their_own(project: Path):
    (project / "dvc.lock").write_text("stages: {sft: {cmd: x}}")
    for fingerprint in ("f1", "f1", "f2"):
        with suppress(KeyboardInterrupt), tracking.run(project, "sft", fingerprint=fingerprint):
            if len(tracking.runs(project)) == 2:
                raise KeyboardInterrupt
    assert [run.status for run in tracking.runs(project)] == ["FINISHED", "KILLED", "FINISHED"]


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(project: Path):
    shutil.rmtree(project / "mlruns")
    (project / "mlruns").write_text("in the way")
    with (
        pytest.raises(AlignloopError, match=r"mlruns/running: cannot be written: .*; make it writable"),
        tracking.run(project, "sft"),
    ):
        pass


def test_a_server_that_goes_away_in_mid_stage_costs_no_training_and_hears_all_of_it_later(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    """MLflow's own server, stopped while points arrive and started again while the stage ends."""
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{project}/mlruns/mlflow.db")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(project / "mlruns" / "artifacts"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(live_run, "FLUSH_SECONDS", 0.05)
    from mlflow.server import app

    def serve(port: int) -> BaseWSGIServer:
        server = make_server("127.0.0.1", port, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def stop(server: BaseWSGIServer) -> None:
        server.shutdown()
        server.server_close()

    server = serve(0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.port}")
    servers = [server]
    with tracking.run(project, "sft") as live:
        live.log(1, {"loss": 1.0})
        live.flush()
        stop(server)
        live.log(2, {"loss": 0.5})
        until(lambda: live.away)
        for step in range(3, 50):
            live.log(step, {"loss": 1 / step})
        threading.Timer(0.5, lambda: servers.append(serve(server.port))).start()
        live.finish({"models/sft": MD5})
    history = tracking.client(tracking.store(project)).get_metric_history(live.id, "loss")
    assert sorted((point.step, point.value) for point in history) == [
        (step, 1 / step) for step in range(1, 50)
    ]
    assert [(run.status, run.outputs) for run in tracking.runs(project)] == [
        ("FINISHED", {"models/sft": MD5})
    ]
    stop(servers[1])


def test_without_git_no_run_opens(project: Path):
    (project / ".git").rename(project / "git")
    with (
        pytest.raises(RevisionError, match=r"not a git repository.*clone the project with git"),
        tracking.run(project, "sft"),
    ):
        pass
