"""A loop is the parent of its stages' runs: continued after a kill, told apart from others, summed up."""

import json
import signal
from contextlib import suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run as MlflowRun

from alignloop import tracking
from alignloop.errors import Waiting
from alignloop.lineage.graph import load_graph
from alignloop.pipeline.loop import current_loop, end_loop
from alignloop.tracking.experiment import VIEW_TAG
from alignloop.tracking.loop_run import PARENT
from alignloop.tracking.loop_summary import recorded_headlines
from tests.tracking.mlflow_runs import MD5, mlflow_run, points

PARAMS: dict[str, Any] = {"seed": 1, "ppo.kl.coef": 0.3, "parallel_passes": 2}
ROUNDS = ["r1", "r2", "r3"]


def loops(root: Path) -> list[MlflowRun]:
    """Return the runs of loops, oldest first."""
    client = tracking.client(tracking.store_uri(root))
    query = "tags.loop LIKE '%'"
    return client.search_runs(["1"], query, order_by=["attributes.start_time ASC", "attributes.run_id"])


def stage(root: Path, name: str, round: str | None = None, **changes: Any) -> str:
    """Run a stage in the loop that is open, and return its run's id."""
    loop = current_loop(root, {**PARAMS, **changes}, ROUNDS)
    mark = " ".join([name, round or "", *(f"{key}={value}" for key, value in changes.items())])
    with tracking.run(root, name, round, fingerprint=mark, loop=loop) as run:
        run.log_loop(loop.step(round), {f"{name}/score": 0.5})
        run.finish({f"models/{name}": MD5})
    return run.id


def test_the_stages_of_a_loop_are_children_of_one_run_with_its_parameters(project: Path):
    for name, round in (("sft", None), ("ppo", "r1"), ("ppo", "r2")):
        stage(project, name, round)
    [loop] = loops(project)
    runs = [mlflow_run(project, run) for run in tracking.runs(project)]
    assert {run.data.tags[PARENT] for run in runs} == {loop.info.run_id}
    assert loop.data.params == {key: str(value) for key, value in PARAMS.items()}
    commit = loop.data.tags["commit"]
    assert loop.info.run_name == f"loop r1–r3 · seed 1 · {commit[:7]}"
    assert loop.info.status == "FINISHED"
    assert points(project, loop.info.run_id, "ppo/score") == [(1, 0.5), (2, 0.5)]
    assert points(project, loop.info.run_id, "sft/score") == [(0, 0.5)]


def test_a_loop_ends_with_its_release_and_other_parameters_are_another_one(project: Path):
    stage(project, "sft")
    stage(project, "reward", "r1", parallel_passes=4)  # no part of the result
    assert len(loops(project)) == 1
    stage(project, "ppo", "r1", **{"ppo.kl.coef": 0.1})
    assert [run.data.params["ppo.kl.coef"] for run in loops(project)] == ["0.3", "0.1"]
    end_loop(project)
    stage(project, "ppo", "r1", **{"ppo.kl.coef": 0.1})
    assert len(loops(project)) == 3


def test_no_loop_is_taken_for_an_execution_of_a_stage(project: Path):
    made = stage(project, "sft")
    assert [run.id for run in tracking.runs(project)] == [made]
    assert [each.run and each.run.id for each in load_graph(project).executions] == [made]
    found = tracking.find_run(project, {"models/sft": MD5})
    assert found is not None
    assert found.id == made


def _open_and_wait(root: Path, ready: Connection) -> None:
    loop = current_loop(root, PARAMS, ROUNDS)
    with tracking.run(root, "ppo", "r1", fingerprint="f", loop=loop) as run:
        run.log_loop(1, {"ppo/kl": 2.0})
        ready.send(True)
        signal.pause()


def test_a_killed_stage_continues_the_same_loop_without_a_point_twice(project: Path):
    here, there = Pipe()
    process = get_context("fork").Process(target=_open_and_wait, args=(project, there))
    process.start()
    assert here.poll(60)
    [running] = loops(project)
    assert running.info.status == "RUNNING"
    process.kill()
    process.join()
    loop = current_loop(project, PARAMS, ROUNDS)
    with tracking.run(project, "ppo", "r1", fingerprint="f", loop=loop) as run:
        [again] = loops(project)
        assert (again.info.run_id, again.info.status) == (running.info.run_id, "RUNNING")
        assert "error" not in again.data.tags
        run.log_loop(1, {"ppo/kl": 2.0})
    [ended] = loops(project)
    assert ended.info.status == "FINISHED"
    assert points(project, ended.info.run_id, "ppo/kl") == [(1, 2.0)]
    assert [run.status for run in tracking.runs(project)] == ["FINISHED"]


def test_a_run_whose_maker_was_killed_before_it_had_its_parameters_gets_them(project: Path):
    loop = current_loop(project, PARAMS, ROUNDS)
    client = tracking.client(tracking.store_uri(project))
    with tracking.run(project, "sft"):  # makes the experiment
        pass
    id = client.create_run("1", tags={"loop": loop.id}).info.run_id
    stage(project, "ppo", "r1")
    [found] = loops(project)
    assert (found.info.run_id, len(found.data.params)) == (id, len(PARAMS))


def test_a_killed_loop_that_nobody_continues_is_marked_when_another_begins(project: Path):
    here, there = Pipe()
    process = get_context("fork").Process(target=_open_and_wait, args=(project, there))
    process.start()
    assert here.poll(60)
    process.kill()
    process.join()
    stage(project, "sft", seed=2)
    assert [run.info.status for run in loops(project)] == ["KILLED", "FINISHED"]


@pytest.mark.parametrize(
    ("error", "status", "tag"),
    [(ValueError("rank 0"), "FAILED", "error"), (Waiting("4 rankings are missing"), "SCHEDULED", "waiting")],
)
def test_a_loop_says_why_its_last_stage_failed_or_waits(
    project: Path, error: Exception, status: str, tag: str
):
    loop = current_loop(project, PARAMS, ROUNDS)
    with suppress(type(error)), tracking.run(project, "label", "r1", fingerprint="f", loop=loop):
        raise error
    for run in (mlflow_run(project, tracking.runs(project)[0]), *loops(project)):
        assert (run.info.status, run.data.tags[tag]) == (status, str(error))
    with tracking.run(project, "label", "r1", fingerprint="f", loop=loop):
        pass
    for run in (mlflow_run(project, tracking.runs(project)[0]), *loops(project)):
        assert run.info.status == "FINISHED"
        assert not {"error", "waiting"} & run.data.tags.keys()


def test_a_broken_note_of_the_loop_begins_another_one(project: Path):
    place = project / ".cache" / "loop.json"
    first = current_loop(project, PARAMS, ROUNDS)
    for text in ("", "[]", "{}", '{"id": "x"'):
        place.write_text(text)
        assert current_loop(project, PARAMS, ROUNDS).id not in ("x", first.id)
    assert current_loop(project, PARAMS, ROUNDS).id == json.loads(place.read_text())["id"]


def test_the_headlines_of_stages_that_were_up_to_date_are_read_from_their_files(project: Path):
    (project / "metrics").mkdir()
    (project / "metrics" / "ppo.json").write_text('{"final_score": 0.5, "final_kl": 2, "steps": 9}')
    stages = {
        "ppo": {"cmd": "python -m alignloop ppo --x y", "metrics": [{"metrics/ppo.json": {"cache": False}}]},
        "sft": {"cmd": "python -m alignloop sft", "metrics": ["metrics/missing.json"]},
        "other": {"cmd": "true"},
    }
    (project / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    assert list(recorded_headlines(project)) == [(None, {"ppo/score": 0.5, "ppo/kl": 2}), (None, {})]


def test_the_table_of_runs_has_a_view_with_metrics_as_columns(project: Path):
    stage(project, "sft")
    experiment = tracking.client(tracking.store_uri(project)).get_experiment("1")
    assert "metrics.`eval/win_rate`" in json.loads(experiment.tags[VIEW_TAG])["selectedColumns"]
