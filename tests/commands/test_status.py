"""`status` prints ten lines, whatever the project has and whatever is missing."""

import re
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.commands import status
from alignloop.errors import AlignloopError
from alignloop.pipeline.checkout_lock import lock_checkout


def status_of(root: Path) -> dict[str, str]:
    return dict(status.status_lines(root))


def test_a_project_without_runs_reports_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert status.command([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[2].startswith("remote      none: `dvc remote add --default NAME URL`")
    assert (
        lines[4]
        == "next        nothing: no Prefect server answers at http://127.0.0.1:9/api; `make serve` starts one"
    )
    assert lines[5:9] == [
        "ran         nothing yet; `make run` runs the loop",
        "running     nothing",
        "failed      nothing that has not succeeded since",
        "models      none has an alias",
    ]


def test_running_finished_and_failed_runs_are_reported_with_the_error(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    (project / "dvc.yaml").write_text(
        "stages: {ingest: {cmd: touch x, outs: [x]}, sft: {cmd: touch y, deps: [x], outs: [y]}}\n"
    )
    with pytest.raises(AlignloopError), tracking.run(project, "ingest"):
        raise AlignloopError("data/x.jsonl:3: user: is missing\nmore")
    with lock_checkout(project, "flow run blue-fox"), tracking.run(project, "ppo", "r2"):
        now = status_of(project)
    assert re.fullmatch(
        r"flow run blue-fox \(process \d+, since .* UTC\): ppo · r2 since \d:\d\d", now["running"]
    )
    assert now["failed"].startswith("ingest, ")
    assert now["failed"].endswith(" UTC: data/x.jsonl:3: user: is missing")
    assert now["up to date"] == "0 of 2 stages; out of date: ingest, sft and what follows"
    with tracking.run(project, "ingest"):
        pass
    later = status_of(project)
    assert later["failed"] == "nothing that has not succeeded since"
    assert later["ran"].startswith("ingest, ")
    assert later["running"] == "nothing"
