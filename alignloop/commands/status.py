"""`python -m alignloop status`: ten lines on what ran, is up to date, runs, failed and why, what the disk holds, and what comes next."""

import argparse
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from alignloop import tracking
from alignloop.commands.gc import size, waste
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.checkout_lock import PipelineBusyError, holder
from alignloop.pipeline.git import git
from alignloop.progress import duration
from alignloop.tracking import registry

STORES = ("mlruns", ".prefect", "people", ".cache")
NO_SERVER = "nothing: no Prefect server answers at {}; `make serve` starts one"


def command(arguments: Sequence[str]) -> int:
    """Print the ten lines."""
    argparse.ArgumentParser("python -m alignloop status", description=__doc__).parse_args(arguments)
    for name, words in lines(Path.cwd()):
        print(f"{name:11} {words}", flush=True)
    return 0


def lines(root: Path) -> Iterator[tuple[str, str]]:
    """What each line is about, and what it says."""
    runs, busy = tracking.runs(root), holder(root)
    yield "ran", _last(runs)
    yield "up to date", _fresh(root)
    yield "running", _running(runs, busy)
    yield "failed", _failed(runs)
    yield (
        "models",
        ", ".join(version.label for version in registry.versions(root) if version.aliases)
        or "none has an alias",
    )
    yield "cache", _cache(root)
    free = shutil.disk_usage(root)
    stores = ", ".join(f"{name} {size(_bytes(root / name))}" for name in STORES if (root / name).exists())
    yield "stores", f"{stores}; {size(free.free)} of {size(free.total)} on this disk are free"
    yield (
        "remote",
        dvc_pipeline.pipeline(root).remote()
        or "none: `dvc remote add --default NAME URL`; until then runs are not recorded",
    )
    yield "recorded", _recorded(root)
    yield "next", _next(os.environ.get("PREFECT_API_URL", "http://127.0.0.1:4200/api"))


def _last(runs: Sequence[tracking.Run]) -> str:
    done = [run for run in runs if run.status == "FINISHED"]
    if not done:
        return "nothing yet; `make run` runs the loop"
    day = [run for run in done if (done[0].started - run.started).total_seconds() < 24 * 3600]
    took = duration(sum(run.seconds for run in day))
    return f"{_name(done[0])}, {_time(done[0].started)}; {len(day)} stages in the 24 hours before it, {took} of work"


def _fresh(root: Path) -> str:
    try:
        pipeline = dvc_pipeline.pipeline(root)
        outdated, all_of_it = pipeline.outdated(), len(pipeline.stages())
    except PipelineBusyError:
        return "not known while DVC is at work"
    first = (
        f"; out of date: {', '.join(outdated[:5])}{' …' if len(outdated) > 5 else ''} and what follows"
        if outdated
        else ""
    )
    return f"{all_of_it - len(outdated)} of {all_of_it} stages{first}"


def _running(runs: Sequence[tracking.Run], busy: Any) -> str:
    if busy is None:
        return "nothing"
    now = datetime.now(UTC)
    stages = [
        f"{_name(run)} since {duration((now - run.started).total_seconds())}"
        for run in runs
        if run.status == "RUNNING"
    ]
    return f"{busy}" + (f": {', '.join(stages)}" if stages else "")


def _failed(runs: Sequence[tracking.Run]) -> str:
    newest: dict[str, tracking.Run] = {}
    for run in runs:
        newest.setdefault(_name(run), run)
    broken = [run for run in newest.values() if run.status in ("FAILED", "KILLED")]
    if not broken:
        return "nothing that has not succeeded since"
    first = broken[0]
    more = f" ({len(broken) - 1} more)" if len(broken) > 1 else ""
    return f"{_name(first)}, {_time(first.started)}: {first.error.splitlines()[0] if first.error else first.status.lower()}{more}"


def _cache(root: Path) -> str:
    found = waste(root)
    spare = sum(found.objects.values())
    return f"{size(found.kept + spare)} in DVC's cache" + (
        f", of which `gc` can free {size(spare)}" if spare else ", all of it needed"
    )


def _recorded(root: Path) -> str:
    tags = git(
        root,
        "for-each-ref",
        "--sort=-creatordate",
        "--format=%(refname:short) %(*committerdate:iso8601-strict) %(*subject)",
        "refs/tags/data-*",
    )
    if not tags:
        return "no run; deployments do, and `make run ARGS=--commit`"
    tag, time, subject = tags.splitlines()[0].split(" ", 2)
    return f"{tag}, {_time(datetime.fromisoformat(time))}: {subject}"


def _next(server: str) -> str:
    asked = {
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 1,
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    try:
        found = (
            httpx.post(f"{server.rstrip('/')}/flow_runs/filter", json=asked, timeout=5, trust_env=False)
            .raise_for_status()
            .json()
        )
        if not found:
            return "nothing is scheduled; switch a schedule on in prefect.yaml or on its deployment's page"
        name = (
            httpx.get(
                f"{server.rstrip('/')}/deployments/{found[0]['deployment_id']}", timeout=5, trust_env=False
            )
            .json()
            .get("name", "a run")
        )
    except httpx.HTTPError:
        return NO_SERVER.format(server)
    return f"{name}, {_time(datetime.fromisoformat(found[0]['expected_start_time']))}"


def _name(run: tracking.Run) -> str:
    return tracking.title(run.stage, run.round)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _bytes(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
