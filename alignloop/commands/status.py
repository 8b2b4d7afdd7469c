"""`python -m alignloop status`: ten lines on runs, stages, failures, models, disk space and the next run."""

import argparse
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.checkout_lock import LockHolder, PipelineBusyError, checkout_holder
from alignloop.pipeline.git import git
from alignloop.progress import duration, format_size

if TYPE_CHECKING:
    from alignloop.tracking import Run

STORES = ("mlruns", ".prefect", "people", ".cache")
NO_SERVER = "nothing: no Prefect server answers at {}; `make serve` starts one"
NO_KEY = "unknown: the Prefect server at {} wants its key; set PREFECT_API_AUTH_STRING"


def command(arguments: Sequence[str]) -> int:
    """Print the ten lines."""
    argparse.ArgumentParser("python -m alignloop status", description=__doc__).parse_args(arguments)
    for topic, text in status_lines(Path.cwd()):
        print(f"{topic:11} {text}", flush=True)
    return 0


def status_lines(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the topic and the text of each line; those that need MLflow, which takes seconds, come last."""
    yield "up to date", _up_to_date(root)
    disk = shutil.disk_usage(root)
    stores = [f"{name} {format_size(_bytes(root / name))}" for name in STORES if (root / name).exists()]
    free = f"{format_size(disk.free)} of {format_size(disk.total)} on this disk are free"
    yield "stores", f"{', '.join(stores)}; {free}"
    no_remote = "none: `dvc remote add --default NAME URL`; until then runs are not recorded"
    yield "remote", dvc_pipeline.pipeline(root).remote() or no_remote
    yield "recorded", _last_recorded(root)
    yield "next", _next_run(os.environ.get("PREFECT_API_URL", "http://127.0.0.1:4200/api"))
    holder = checkout_holder(root)
    from alignloop import tracking
    from alignloop.tracking import registry

    runs = tracking.runs(root)
    yield "ran", _last_runs(runs)
    yield "running", _running(runs, holder)
    yield "failed", _failed(runs)
    aliased = [version.label for version in registry.versions(root) if version.aliases]
    yield "models", ", ".join(aliased) or "none has an alias"
    yield "cache", _cache(root)


def _last_runs(runs: Sequence["Run"]) -> str:
    finished = [run for run in runs if run.status == "FINISHED"]
    if not finished:
        return "nothing yet; `make run` runs the loop"
    last = finished[0]
    day = [run for run in finished if (last.started - run.started).total_seconds() < 24 * 3600]
    took = duration(sum(run.seconds for run in day))
    return (
        f"{_name(last)}, {_time(last.started)}; {len(day)} stages in the 24 hours before it, {took} of work"
    )


def _up_to_date(root: Path) -> str:
    try:
        pipeline = dvc_pipeline.pipeline(root)
        stale, total = pipeline.outdated(), len(pipeline.stages())
    except PipelineBusyError:
        return "unknown while DVC is running"
    more = " …" if len(stale) > 5 else ""
    first = f"; out of date: {', '.join(stale[:5])}{more} and what follows" if stale else ""
    return f"{total - len(stale)} of {total} stages{first}"


def _running(runs: Sequence["Run"], holder: LockHolder | None) -> str:
    if holder is None:
        return "nothing"
    now = datetime.now(UTC)
    stages = [
        f"{_name(run)} since {duration((now - run.started).total_seconds())}"
        for run in runs
        if run.status == "RUNNING"
    ]
    return f"{holder}" + (f": {', '.join(stages)}" if stages else "")


def _failed(runs: Sequence["Run"]) -> str:
    newest: dict[str, Run] = {}
    for run in runs:
        newest.setdefault(_name(run), run)
    failed = [run for run in newest.values() if run.status in ("FAILED", "KILLED")]
    if not failed:
        return "nothing that has not succeeded since"
    first = failed[0]
    error = first.error.splitlines()[0] if first.error else first.status.lower()
    more = f" ({len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"{_name(first)}, {_time(first.started)}: {error}{more}"


def _cache(root: Path) -> str:
    from alignloop.commands.gc import find_unused

    unused = find_unused(root)
    total = format_size(unused.needed_bytes + unused.bytes)
    if not unused.bytes:
        return f"{total} in DVC's cache, all of it needed"
    return f"{total} in DVC's cache, of which `gc` can free {format_size(unused.bytes)}"


def _last_recorded(root: Path) -> str:
    tags = git(
        root,
        "for-each-ref",
        "--sort=-creatordate",
        "--format=%(refname:short) %(*committerdate:iso8601-strict) %(*subject)",
        "refs/tags/data-*",
    )
    if not tags:
        return "no run; scheduled runs do, and `make run ARGS=--commit`"
    tag, time, subject = tags.splitlines()[0].split(" ", 2)
    return f"{tag}, {_time(datetime.fromisoformat(time))}: {subject}"


def _next_run(server: str) -> str:
    import httpx  # takes half a second

    api = server.rstrip("/")
    query = {
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 1,
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    key = os.environ.get("PREFECT_API_AUTH_STRING", "")
    auth = httpx.BasicAuth(*key.split(":", 1)) if ":" in key else None
    try:
        reply = httpx.post(f"{api}/flow_runs/filter", json=query, auth=auth, timeout=5, trust_env=False)
        if reply.status_code == httpx.codes.UNAUTHORIZED:
            return NO_KEY.format(server)
        runs: list[dict[str, Any]] = reply.raise_for_status().json()
        if not runs:
            return "nothing is scheduled; switch a schedule on in prefect.yaml or on its deployment's page"
        address = f"{api}/deployments/{runs[0]['deployment_id']}"
        name = httpx.get(address, auth=auth, timeout=5, trust_env=False).json().get("name", "a run")
    except httpx.HTTPError:
        return NO_SERVER.format(server)
    return f"{name}, {_time(datetime.fromisoformat(runs[0]['expected_start_time']))}"


def _name(run: "Run") -> str:
    from alignloop import tracking

    return tracking.title(run.stage, run.round)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _bytes(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
