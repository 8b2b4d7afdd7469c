"""Interrupted runs are marked or resumed, and no point is lost while the MLflow store is unreachable."""

import signal
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
from alignloop.tracking import active_run
from tests.tracking.mlflow_runs import MD5, mlflow_run, points


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _open_and_wait(root: Path, ready: Connection) -> None:
    with tracking.run(root, "ppo", "r1"):
        ready.send(True)
        signal.pause()


def _worker(root: Path) -> ForkProcess:
    """Return a process that has a run open."""
    here, there = Pipe()
    process = get_context("fork").Process(target=_open_and_wait, args=(root, there))
    process.start()
    assert here.poll(60)
    return process


def test_the_next_stage_marks_the_run_of_a_killed_process_and_leaves_a_living_one_alone(project: Path):
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
    [lock] = (project / "mlruns" / "running").iterdir()
    assert lock.read_text().endswith(tracking.runs(project)[0].id), (
        "the locks of ended runs are removed when the next stage starts"
    )


def test_an_unreachable_store_loses_no_points(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(active_run, "FLUSH_SECONDS", 0.01)
    database = project / "mlruns" / "mlflow.db"
    with tracking.run(project, "sft") as run:
        database.rename(database.with_name("away"))
        database.mkdir()  # SQLite cannot open a folder
        run.log(1, {"loss": 3.0})
        wait_until(lambda: run.is_unreachable)
        database.rmdir()
        database.with_name("away").rename(database)
        run.log(2, {"loss": 2.0})
    assert points(project, run.id, "loss") == [(1, 3.0), (2, 2.0)]


def test_an_interrupted_run_resumes_without_a_gap_and_without_a_point_twice(project: Path):
    for steps, error in ((4, KeyboardInterrupt), (6, ValueError), (8, None)):
        with (
            suppress(KeyboardInterrupt, ValueError),
            tracking.run(project, "sft", fingerprint="f1") as active,
        ):
            for step in range(1, steps + 1):  # each attempt logs its checkpoint's curve again
                active.log(step, {"loss": 1 / step})
            if error:
                raise error
            active.log(8, {"loss": 0.5})  # a result with the name of a curve
    [run] = tracking.runs(project)
    assert points(project, run.id, "loss") == [
        *((step, 1 / step) for step in range(1, 9)),
        (8, 0.5),
    ]
    assert run.status == "FINISHED"
    assert "error" not in mlflow_run(project, run).data.tags


def test_a_finished_run_is_resumed_only_if_dvc_lock_lacks_it(project: Path):
    def attempt() -> None:
        with tracking.run(
            project, "sft", inputs={"data/d": MD5}, code={"alignloop/core": MD5}, fingerprint="f1"
        ) as active:
            active.log(1, {"loss": 0.5})
            active.finish({"models/sft": MD5})

    attempt()  # and SIGKILL before dvc.lock was written
    attempt()
    [run] = tracking.runs(project)
    assert len(points(project, run.id, "loss")) == 1
    deps = f"[{{path: data/d, md5: {MD5}}}, {{path: alignloop/core, md5: {MD5}}}]"
    (project / "dvc.lock").write_text(
        f"stages: {{sft: {{cmd: x, deps: {deps}, outs: [{{path: models/sft, md5: {MD5}}}]}}}}"
    )
    attempt()  # the stage is run again
    assert [run.status for run in tracking.runs(project)] == ["FINISHED", "FINISHED"]
    (project / "dvc.lock").unlink()
    with tracking.run(project, "ppo"):
        pass
    attempt()  # another stage has run since: it was not interrupted
    assert len([run for run in tracking.runs(project) if run.stage == "sft"]) == 3


def test_another_fingerprint_or_a_finished_one_gets_a_new_run(project: Path):
    (project / "dvc.lock").write_text("stages: {sft: {cmd: x}}")
    for fingerprint in ("f1", "f1", "f2"):
        with suppress(KeyboardInterrupt), tracking.run(project, "sft", fingerprint=fingerprint):
            if len(tracking.runs(project)) == 2:
                raise KeyboardInterrupt
    assert [run.status for run in tracking.runs(project)] == ["FINISHED", "KILLED", "FINISHED"]


def test_training_continues_while_a_server_is_unreachable_and_all_points_arrive_later(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    """MLflow's own server is stopped while points arrive, and started again while the stage ends."""
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{project}/mlruns/mlflow.db")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(project / "mlruns" / "artifacts"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(active_run, "FLUSH_SECONDS", 0.05)
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
    with tracking.run(project, "sft") as run:
        run.log(1, {"loss": 1.0})
        run.flush()
        stop(server)
        run.log(2, {"loss": 0.5})
        wait_until(lambda: run.is_unreachable)
        for step in range(3, 50):
            run.log(step, {"loss": 1 / step})
        threading.Timer(0.5, lambda: servers.append(serve(server.port))).start()
        run.finish({"models/sft": MD5})
    assert sorted(points(project, run.id, "loss")) == [(step, 1 / step) for step in range(1, 50)]
    assert [(run.status, run.outputs) for run in tracking.runs(project)] == [
        ("FINISHED", {"models/sft": MD5})
    ]
    stop(servers[1])
