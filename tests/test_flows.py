"""The flow on a pipeline of the real stages' names, each a shell command: what runs, what is recorded, what
fails and how.
"""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import flow, get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.concurrency import services
from prefect.settings import get_current_settings
from prefect.testing.utilities import prefect_test_harness

from alignloop.data import record_files
from alignloop.errors import AlignloopError
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.pipeline.overrides import override
from alignloop.tracking import registry
from benchmarks.labeling import PROJECT, Browser, Server, Tally, invite, labeler
from flows import pipeline as entry
from flows.pipeline import pipeline
from tasks.dvc_stage import Outcome, key_of
from tasks.prefect_server import complete_record
from tasks.stages import ingest
from tests.toy import FIRST, ROUND, change, make
from tests.web.candidates import register
from tests.web.conftest import samples


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=300):
        yield


@pytest.fixture
def toy(project: Path) -> Path:
    return make(project)


def run(**asked: Any) -> tuple[State[Any], list[Outcome]]:
    state: State[Any] = pipeline(**asked, return_state=True)
    complete_record(state)
    result = state.result(raise_on_failure=False)
    return state, result if isinstance(result, list) else []


def ran(outcomes: list[Outcome]) -> list[str]:
    return [outcome.stage for outcome in outcomes if outcome.done == "ran"]


def recorded(state: State[Any]) -> tuple[dict[str, str], dict[str, str]]:
    """What Prefect's pages show of a run: the state of each task by its name, and the artifacts by their key."""
    run = {"any_": [state.state_details.flow_run_id]}
    with get_client(sync_client=True) as client:
        rounds = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"parent_flow_run_id": run})
        )
        runs = FlowRunFilter.model_validate({"id": {"any_": [*run["any_"], *(round.id for round in rounds)]}})
        tasks = client.read_task_runs(flow_run_filter=runs)
        artifacts = client.read_artifacts(flow_run_filter=runs)
    return {task.name: task.state_name or "" for task in tasks}, {
        artifact.key or "": str(artifact.data) for artifact in artifacts
    }


def newest_run() -> FlowRun:
    """The pipeline's run that was started last."""
    whole = FlowFilter.model_validate({"name": {"any_": [pipeline.name]}})
    with get_client(sync_client=True) as client:
        [run] = client.read_flow_runs(flow_filter=whole, sort=FlowRunSort.START_TIME_DESC, limit=1)
    return run


def test_a_run_does_what_is_left_to_do_and_prefect_shows_each_stage_with_its_lines_and_numbers(
    toy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state, outcomes = run(rounds=["r1"])
    assert ran(outcomes) == [*FIRST, *(f"{name}@r1" for name in ROUND)]
    assert outcomes[0].metrics == {"loss": 0.25, "by.kind": 3}
    assert {f"working on {name}" for name in FIRST} <= set(caplog.messages)
    tasks, artifacts = recorded(state)
    assert {"plan", "validate · raw", "base model", "reward model · r1", "PPO · r1"} <= set(tasks)
    assert set(tasks.values()) == {"Completed"}
    assert set(artifacts) == {key_of(outcome.stage) for outcome in outcomes}
    assert "| by.kind | 3 |" in artifacts["reward-r1"]

    state, outcomes = run()
    assert ran(outcomes) == [*(f"{name}@r2" for name in ROUND), "release"]
    assert "wins against SFT" in recorded(state)[1]["results"]
    assert (
        "up to date" in subprocess.run(["dvc", "status"], capture_output=True, text=True, check=True).stdout
    )

    _, outcomes = run()
    assert {outcome.done for outcome in outcomes} == {"unchanged"}
    assert set(services._no_limits_cache) >= {frozenset({"tag:train"}), frozenset({"tag:data", "tag:gate"})}
    assert services._no_limits_cache.ttl == 3600

    with get_client(sync_client=True) as client:
        client.create_concurrency_limit("train", 1)
        run()
        known = set(services._no_limits_cache)
        client.delete_concurrency_limit_by_tag("train")
    assert frozenset({"tag:decode"}) in known
    assert frozenset({"tag:train"}) not in known, "a limit counts from the next run on"

    _, outcomes = run(rounds=["r2"], start_from="reward")
    assert ran(outcomes) == ["reward@r2", "ppo@r2", "evaluate@r2"]


def test_what_is_asked_for_is_written_where_dvc_finds_it_and_what_does_not_fit_is_not(
    toy: Path, tmp_path: Path
) -> None:
    (tmp_path / "more.txt").write_text("text")
    (tmp_path / "extra.yaml").write_text("ppo: {steps: 7}\n")
    run(with_file=tmp_path / "extra.yaml", overrides={"seed": 5}, sources=[tmp_path / "more.txt"], rounds=[])
    params = yaml.safe_load((toy / "params.yaml").read_text())
    assert (params["ppo"]["steps"], params["seed"]) == (7, 5)
    assert (toy / "data/sources/more.txt").read_text() == "text"
    for asked, message in (
        ({"overrides": {"ppo.stepz": 1}}, "ppo.stepz: unknown key"),
        (
            {"overrides": {"seed": 6}, "sources": [tmp_path / "none.txt"]},
            "none.txt: does not exist; name the files to learn from",
        ),
        ({"start_from": "evaluation"}, "--from evaluation: dvc.yaml has no such stage; it has ingest, "),
        ({"rounds": ["r9"]}, "--rounds r9: params.yaml has no such round; it has r1, r2"),
    ):
        state, outcomes = run(**asked)
        assert not outcomes
        with pytest.raises(AlignloopError, match=message):
            state.result()
        assert yaml.safe_load((toy / "params.yaml").read_text()) == params


def test_a_stage_that_fails_says_why_in_prefect_and_on_the_console_and_the_same_command_continues(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = yaml.safe_load((toy / "dvc.yaml").read_text())["stages"]["prepare"]["cmd"]
    change(
        toy, "prepare", "echo reading; echo 'prepare: data/raw/prompts.jsonl:3: user: is missing' >&2; exit 1"
    )
    assert entry.main([]) == 1
    printed = capsys.readouterr()
    assert printed.err.rstrip().endswith("\nprepare: data/raw/prompts.jsonl:3: user: is missing")
    assert "Traceback" not in printed.err + printed.out

    state, _ = run()
    tasks, _ = recorded(state)
    assert tasks == {
        "plan": "Completed",
        "champion": "Completed",
        "ingest": "Completed",
        "validate · raw": "Completed",
        "prepare": "Failed",
    }
    assert (state.message or "").endswith("StageFailed: prepare: data/raw/prompts.jsonl:3: user: is missing")

    change(toy, "prepare", whole)
    _, outcomes = run(rounds=[])
    assert ran(outcomes) == ["prepare", "validate_sets", "pretrain", "sft"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "params.yaml").open("a").write("pppo: 1\n"), "params.yaml: pppo: unknown key"),
        (
            lambda root: (root / "params.yaml").unlink(),
            "params.yaml: No such file or directory; run from the project's root",
        ),
        (
            lambda root: (root / ".git").rename(root / "git"),
            "no git repository here, and DVC needs one; clone the project",
        ),
        (lambda root: (root / ".dvc").rename(root / "dvc"), "no DVC project here"),
        (lambda root: (root / "dvc.yaml").write_text("stages: ["), "dvc.yaml"),
    ],
    ids=["an unknown key", "no params.yaml", "no git repository", "no DVC project", "a broken dvc.yaml"],
)
def test_what_no_stage_could_run_with_is_said_at_once(
    toy: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], Any], message: str
) -> None:
    spoil(toy)
    began = time.monotonic()
    assert entry.main([]) == 1
    assert message in capsys.readouterr().err
    assert time.monotonic() - began < 5


def test_a_round_that_waits_for_people_says_so_and_the_pages_start_the_run_that_goes_on_when_they_have_ranked(
    toy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    asked = {"label.kind": "people", "label.overlap": 2, "people.url": f"http://127.0.0.1:{port}"}
    override(toy / "params.yaml", changes=asked | {"people.gold_share": 0.0, "people.repeated_share": 0.0})
    shutil.copytree(PROJECT / "configs", toy / "configs")
    (toy / "earlier").mkdir()
    record_files.write(toy / "samples.jsonl", samples(2))
    paths = "--earlier earlier --out data/rankings --metrics metrics/label-r1.json --report out/label-r1.txt"
    change(
        toy,
        "label",
        f"PYTHONPATH={PROJECT} {sys.executable} -m alignloop label --round r1 --samples samples.jsonl "
        f"{paths}",
    )
    change(
        toy, "reward", "wc -l < data/rankings/r1.jsonl > out/reward-r1.txt; echo {} > metrics/reward-r1.json"
    )
    words = f"round r1 waits for people: 4 of 4 rankings are missing; they rank at http://127.0.0.1:{port}"
    assert entry.main(["--rounds", "r1"]) == 75
    assert f"label@r1: {words}" in capsys.readouterr().err
    waiting = newest_run()
    assert waiting.state
    assert waiting.state.is_completed()
    assert (waiting.state.name, words in (waiting.state.message or "")) == ("Waiting", True)
    tasks, artifacts = recorded(waiting.state)
    assert tasks["label · r1"] == "Waiting"
    assert words in artifacts["label-r1"]
    assert not any("reward" in task for task in tasks)

    monkeypatch.setenv("PREFECT_API_URL", str(get_current_settings().api.url))
    url = database_url(toy)
    server, tally = (
        Server(toy, url, port, f"sh -c '{sys.executable} -m flows.pipeline --rounds r1; touch went-on'"),
        Tally(),
    )
    store = LabelingDatabase(url)
    secrets = invite(store, 2)
    store.close()
    server.start()
    try:
        for name, secret in secrets.items():
            asyncio.run(labeler(name, secret, Browser(port, tally), tally, 0, time.monotonic() + 300))
        assert (len(tally.acknowledged), tally.failed) == (4, {})
        until = time.monotonic() + 300
        while not (toy / "went-on").exists() and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        server.end(signal.SIGTERM)
    after = newest_run()
    assert (after.id != waiting.id, after.state_name) == (True, "Completed"), (
        toy / ".cache" / "continue.log"
    ).read_text()
    assert (toy / "out" / "reward-r1.txt").read_text().split() == ["4"]
    assert (toy / "out" / "evaluate-r1.txt").exists()


def test_a_release_that_waits_for_a_person_shows_its_verdict_and_is_done_when_decided(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "alignloop-policy/4 met its gates and waits for a person"
    change(
        toy,
        "release",
        f"mkdir -p metrics && cp release.json metrics/ && (test -e decided || {{ echo 'release: "
        f"{words}' >&2; exit 75; }})",
    )
    assert entry.main([]) == 75
    assert capsys.readouterr().err.rstrip().endswith(f"release: {words}")
    with get_client(sync_client=True) as client:
        newest = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=20)
    waiting = next(each.state for each in newest if each.name and each.state and each.state.name == "Waiting")
    tasks, artifacts = recorded(waiting)
    assert tasks["release"] == "Waiting"
    assert "**Gates PASSED**: 9 of 9 rules are met" in artifacts["results"]
    (toy / "decided").touch()
    state, outcomes = run()
    assert (state.name, ran(outcomes)) == ("Completed", ["release"])


def test_a_process_that_was_killed_is_tried_again(toy: Path) -> None:
    change(
        toy,
        "ingest",
        "mkdir -p out metrics; echo {} > metrics/ingest.json; cp source.txt out/ingest.txt; mkdir once "
        "&& kill -9 $$; true",
    )

    @flow
    def one() -> Outcome:
        return ingest.with_options(retry_delay_seconds=0)()

    assert one().done == "ran"


def test_a_stage_that_takes_too_long_is_ended(toy: Path) -> None:
    change(toy, "ingest", "echo $$ > pid; sleep 60")

    @flow
    def one() -> Outcome:
        return ingest.with_options(timeout_seconds=1, retries=0)()

    began = time.monotonic()
    state: State[Any] = one(return_state=True)
    assert state.is_failed()
    assert time.monotonic() - began < 15
    assert not Path("/proc", (toy / "pid").read_text().strip()).exists()


def test_an_alias_that_was_moved_by_hand_is_reported_until_it_is_put_right_and_nobody_looks_where_nothing_was_touched(
    toy: Path,
) -> None:
    def seen() -> str | None:
        return recorded(run(rounds=[])[0])[1].get("champion")

    note = toy / ".cache" / "champion-agreed"
    assert (seen(), note.exists()) == (None, True)
    version = register(toy, "new")
    registry.point(toy, "champion", version)
    said = (
        "the alias 'champion' is alignloop-policy/1, and the log, which is empty, says nobody: moved by hand"
    )
    assert [(seen() or "").splitlines()[0] for _ in range(2)] == [said, said]
    registry.unpoint(toy, "champion", version.name)
    assert (seen(), note.exists()) == (None, True)
    looked = note.stat().st_mtime_ns
    assert (seen(), note.stat().st_mtime_ns) == (None, looked)
