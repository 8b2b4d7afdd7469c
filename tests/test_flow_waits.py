"""The flow waits for labelers and for the decision about a release, and a later run continues."""

import asyncio
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import get_current_settings
from prefect.testing.utilities import prefect_test_harness

from alignloop.data import record_files
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.pipeline.overrides import override
from benchmarks.labeling import PROJECT, Browser, Server, Tally, invite, labeler
from flows import pipeline as entry
from tests.flow_runs import newest_run, recorded_tasks, run_flow, stages_run
from tests.toy import change, make
from tests.web.conftest import samples


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=300):
        yield


def rounds_of(run: FlowRun) -> list[FlowRun]:
    parent = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run.id]}})
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_run_filter=parent)


@pytest.fixture
def toy(project: Path) -> Path:
    return make(project)


def test_a_round_waits_for_labelers_and_the_pages_start_the_run_that_continues_when_they_have_ranked(
    toy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    changes = {"label.kind": "people", "label.overlap": 2, "people.url": f"http://127.0.0.1:{port}"}
    override(toy / "params.yaml", changes=changes | {"people.gold_share": 0.0, "people.repeated_share": 0.0})
    shutil.copytree(PROJECT / "configs", toy / "configs")
    (toy / "earlier").mkdir()
    record_files.write(toy / "samples.jsonl", samples(2))
    paths = "--earlier earlier --out data/rankings --metrics metrics/label-r1.json --report out/label-r1.txt"
    command = f"{sys.executable} -m alignloop label --round r1 --by ppo --samples samples.jsonl"
    change(toy, "label", f"PYTHONPATH={PROJECT} {command} {paths}")
    change(
        toy, "reward", "wc -l < data/rankings/r1.jsonl > out/reward-r1.txt; echo {} > metrics/reward-r1.json"
    )
    message = f"round r1 waits for people: 4 of 4 rankings are missing; they rank at http://127.0.0.1:{port}"
    assert entry.main(["--rounds", "r1"]) == 75
    said = " ".join(capsys.readouterr().err.split())
    assert f"label@r1: {message}" in said
    assert f"next: `make serve` serves the pages for it at http://127.0.0.1:{port}" in said
    waiting = newest_run()
    assert waiting.state
    assert waiting.state.is_paused()
    assert waiting.state.name == "Waiting for labelers"
    assert message in (waiting.state.message or "")
    tasks, artifacts = recorded_tasks(waiting.state)
    assert tasks["label · r1"] == "Waiting for labelers"
    [round] = rounds_of(waiting)
    assert round.state_name == "Waiting for labelers"
    with get_client(sync_client=True) as client:
        for run in (waiting, round):
            refused = client.resume_flow_run(run.id)
            assert refused.status == SetStateStatus.REJECT, "no worker would start a run of the command line"
        waits = client.read_flow_run(waiting.id).state
    assert waits is not None
    assert (waits.name, waits.message) == (waiting.state.name, waiting.state.message)
    assert message in artifacts["label-r1"]
    assert not any("reward" in task for task in tasks)

    monkeypatch.setenv("PREFECT_API_URL", str(get_current_settings().api.url))
    url = database_url(toy)
    trigger = f"sh -c '{sys.executable} -m flows.pipeline --rounds r1; touch continued'"
    server, tally = Server(toy, url, port, trigger), Tally()
    store = LabelingDatabase(url)
    secrets = invite(store, 2)
    store.close()
    server.start()
    try:
        for name, secret in secrets.items():
            asyncio.run(labeler(name, secret, Browser(port, tally), tally, 0, time.monotonic() + 300))
        assert (len(tally.acknowledged), tally.failed) == (4, {})
        until = time.monotonic() + 300
        while not (toy / "continued").exists() and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        server.end(signal.SIGTERM)
    after = newest_run()
    assert (after.id != waiting.id, after.state_name) == (True, "Completed"), (
        toy / ".cache" / "continue.log"
    ).read_text()
    with get_client(sync_client=True) as client:
        before = client.read_flow_run(waiting.id).state
    assert before is not None
    assert before.is_completed()
    assert (before.name, before.message) == ("Continued", f"continued by the run {after.name}")
    assert recorded_tasks(waiting.state)[0]["label · r1"] == "Continued"
    assert [each.state_name for each in rounds_of(waiting)] == ["Continued"]
    assert (toy / "out" / "reward-r1.txt").read_text().split() == ["4"]
    assert (toy / "out" / "evaluate-r1.txt").exists()


def test_a_release_waits_for_a_decision_with_its_verdict_and_completes_afterwards(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "alignloop-policy/4 met its gates and waits for a person"
    change(
        toy,
        "release",
        "mkdir -p metrics && cp release.json metrics/ && "
        f"(test -e decided || {{ echo 'release: {message}' >&2; exit 75; }})",
    )
    assert entry.main([]) == 75
    assert f"\nrelease: {message}\nnext: `make serve` serves the pages for it" in capsys.readouterr().err
    with get_client(sync_client=True) as client:
        newest = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=20)
    waiting = next(each.state for each in newest if each.state and each.state.is_paused())
    assert waiting.name == "Waiting for a decision"
    tasks, artifacts = recorded_tasks(waiting)
    assert tasks["release"] == "Waiting for a decision"
    assert "**Gates PASSED**: 10 of 10 asked rules are met" in artifacts["results"]
    (toy / "decided").touch()
    state, outcomes = run_flow()
    assert (state.name, stages_run(outcomes)) == ("Completed", ["release"])
