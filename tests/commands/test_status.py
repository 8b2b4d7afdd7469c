"""`status` says in ten lines how things stand, whatever is there and whatever is not."""

import re
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.commands import status
from alignloop.errors import AlignloopError
from alignloop.pipeline.checkout_lock import at_work


def told(root: Path) -> dict[str, str]:
    return dict(status.lines(root))


def test_a_project_in_which_nothing_ran_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert status.command([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0] == "ran         nothing yet; `make run` runs the loop"
    assert lines[2:5] == [
        "running     nothing",
        "failed      nothing that has not succeeded since",
        "models      none has an alias",
    ]
    assert lines[7].startswith("remote      none: `dvc remote add --default NAME URL`")
    assert (
        lines[9]
        == "next        nothing: no Prefect server answers at http://127.0.0.1:9/api; `make serve` starts one"
    )


def test_what_runs_what_ran_and_what_failed_is_told_with_the_reason(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    (project / "dvc.yaml").write_text(
        "stages: {ingest: {cmd: touch x, outs: [x]}, sft: {cmd: touch y, deps: [x], outs: [y]}}\n"
    )
    with pytest.raises(AlignloopError), tracking.run(project, "ingest"):
        raise AlignloopError("data/x.jsonl:3: user: is missing\nmore")
    with at_work(project, "flow run blue-fox"), tracking.run(project, "ppo", "r2"):
        now = told(project)
    assert re.fullmatch(
        r"flow run blue-fox \(process \d+, since .* UTC\): ppo · r2 since \d:\d\d", now["running"]
    )
    assert now["failed"].startswith("ingest, ")
    assert now["failed"].endswith(" UTC: data/x.jsonl:3: user: is missing")
    assert now["up to date"] == "0 of 2 stages; out of date: ingest, sft and what follows"
    with tracking.run(project, "ingest"):
        pass
    later = told(project)
    assert later["failed"] == "nothing that has not succeeded since"
    assert later["ran"].startswith("ingest, ")
    assert later["running"] == "nothing"
