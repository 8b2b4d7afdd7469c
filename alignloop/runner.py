"""Runs one stage: fills in its parameters, tracks it in MLflow, and prints its progress.

A stage's signature is the only declaration of what it needs: sections of params.yaml by their classes,
`Checkpoint` for a stage that can be resumed, and paths, which come from the command line.
"""

import importlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignloop import params as parameters
from alignloop import phases, tracking
from alignloop.checks.stage_memory import check_stage
from alignloop.determinism import make_deterministic
from alignloop.flatten import flatten
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.pipeline import dvc_repair
from alignloop.pipeline.checkout_lock import lock_stage
from alignloop.pipeline.dvc_lock import locked_stages
from alignloop.pipeline.loop import Loop, current_loop, end_loop
from alignloop.pipeline.stage_files import Footprint, fingerprint, footprint, hashes, sizes
from alignloop.progress import paced, spoken
from alignloop.stage_arguments import parser_of
from alignloop.tracking import metric_names, stage_summary
from alignloop.tracking.consumption import metered
from alignloop.tracking.kept_results import results_of

if TYPE_CHECKING:
    from alignloop.training.checkpoints import Checkpoint

LONG_SECONDS = 60.0  # of a stage, from which it prints where its time and memory went
PROCESSES = ("compute.processes", "compute.shard")  # what `compute.elastic` leaves out of a fingerprint
POINTS = 500  # a curve's most points in MLflow; the stage's plots keep them all


@dataclass(frozen=True)
class Stage:
    """A running stage: its files, the parameters, and the hashes of what it reads."""

    name: str
    root: Path
    params: Params
    files: Footprint
    loop: Loop
    inputs: dict[str, str]
    paths: dict[str, Any]


def run(
    name: str,
    arguments: Sequence[str],
    tell: Callable[[str, str, str, bool], None] = lambda *task: None,
    on_finished: Callable[[], None] = lambda: None,
) -> int:
    """Run a stage with the paths on its command line; returns the exit status.

    Among several processes this is rank 0: it `tell`s the others the stage's title, its name, its fingerprint
    and whether it has checkpoints, and calls `on_finished` when the stage needs them no more.
    """
    function = getattr(importlib.import_module(f"alignloop.stages.{name}"), name)
    paths = vars(parser_of(name).parse_args(arguments))
    root, params = Path.cwd(), parameters.load(Path("params.yaml"))
    files = footprint(root, name, arguments, paths)
    title = tracking.title(files.stage, files.round)
    numbers = flatten(params.model_dump(by_alias=True))
    used = {key: value for key, value in numbers.items() if files.uses(key)}
    make_deterministic(params, title)
    with lock_stage(root, files.name):
        dvc_repair.back_up_lock(root)
        told = partial(spoken, name=title, say=_say)
        inputs = hashes(root, told(sizes(root, files.inputs), "hashing inputs"))
        code = hashes(root, files.code)
        loop = current_loop(root, numbers, list(params.rounds))
        stage = Stage(name, root, params, files, loop, inputs=inputs, paths=paths)
        mark_of = partial(fingerprint, root, name, arguments, inputs=inputs, code=code)
        mark = mark_of(params=used)
        estimated = check_stage(params, name, paths)
        _around("before", stage)
        learns = name in params.checkpoint_every.model_dump()
        resumed = ""
        if learns and any(key in used for key in PROCESSES):
            likeness = mark_of(params={key: value for key, value in used.items() if key not in PROCESSES})
            resumed = _adopt(stage, mark, likeness)
        tell(title, files.name, mark, learns)
        checkpoint = _checkpoint(stage, mark)
        work = bind(function, params)
        if checkpoint:
            work = partial(work, checkpoint=checkpoint)
        running = tracking.run(
            root,
            files.stage,
            files.round,
            params=used,
            inputs=inputs,
            code=code,
            fingerprint=mark,
            loop=loop,
        )
        phases.clear()
        began = time.monotonic()
        with running as active, metered(active, params.compute.processes) as meter:
            if resumed:
                active.describe(resumed)
            step = 0
            curves: set[str] = set()
            for progress in paced(work(**paths), title, _say, look_every=1.0):
                step = progress.step
                if step % math.ceil(progress.total / POINTS) == 0 or step == progress.total:
                    points = metric_names.grouped(name, progress.metrics)
                    active.log(step, points)
                    curves |= points.keys()
                meter.look()
            on_finished()
            whole = time.monotonic() - began
            said = [stage_summary.time(active, step, whole), stage_summary.memory(active, step, estimated)]
            said.append(checkpoint.summary() if checkpoint else "")
            for line in filter(None, said) if whole >= LONG_SECONDS else ():
                _say(f"{title}  {line}")
            _around("worked", stage, active)
            outputs = hashes(root, told(sizes(root, files.outputs), "hashing outputs"))
            kept, leaves = results_of([*outputs, *files.pages])
            headlines = metric_names.headlines(name, leaves)
            new = {key: value for key, value in headlines.items() if key not in curves}
            active.log(step, {**metric_names.results(name, leaves), **new})
            meter.rest()
            active.finish(outputs, kept)
            active.log_loop(loop.step(files.round), headlines)
            _around("tracked", stage, active)
        if checkpoint:
            checkpoint.done(outputs)
        _around("ended", stage)
    return 0


def _check_sources(stage: Stage, active: tracking.ActiveRun | None) -> None:
    """Raise, before anything runs, if the sources lack what params.yaml asks for."""
    from alignloop.data.run_requirements import check
    from alignloop.data.source_survey import survey

    check(stage.params, survey(stage.params.ingest, stage.paths["sources"]))


def _report_drift(stage: Stage, active: tracking.ActiveRun | None) -> None:
    """Print how the data differs from its previous version."""
    from alignloop.lineage import drift

    assert active
    bounds = stage.params.validate_.drift.model_dump()
    title = tracking.title(stage.files.stage, stage.files.round)
    lines = drift.report(
        stage.root, stage.files, active, inputs=stage.inputs, bounds=bounds, arguments=stage.paths
    )
    for line in lines:
        _say(f"{title}  {line}")


def _show_responses(stage: Stage, active: tracking.ActiveRun | None) -> None:
    """Keep the responses as a table in MLflow, write the results page, and the round's ledger."""
    from alignloop.release import ledger_pages
    from alignloop.tracking import completions

    assert active
    assert stage.files.round
    out: Path = stage.paths["out"]
    completions.keep_table(out / "responses.jsonl", active)
    if (out / "tasks.jsonl").is_file():
        active.upload(out / "tasks.jsonl")
        report = json.loads(stage.paths["metrics"].read_text(encoding="utf-8"))
        active.log(0, metric_names.of_tasks("evaluate", report["tasks"]))
    _write_results(stage)
    points = ledger_pages.keep_ledger(stage.root, stage.params, stage.files.round, active)
    active.log_loop(stage.loop.step(stage.files.round), points)


def _add_ledger(stage: Stage, active: tracking.ActiveRun | None) -> None:
    """Add the ledger of all rounds to the report, before MLflow keeps it."""
    from alignloop.release import ledger_pages

    ledger_pages.add_to_report(stage.root, stage.params, stage.paths["report"])


def _bring_champion(stage: Stage, active: tracking.ActiveRun | None) -> None:
    """Fetch the champion from the registry, for the release to compare with."""
    from alignloop.release import release_steps

    release_steps.fetch_champion(stage.root, stage.params, stage.inputs, stage.paths["champion"])


def _write_results(stage: Stage, active: tracking.ActiveRun | None = None) -> None:
    """Write the results page of all rounds so far."""
    from alignloop.release import results_page

    results_page.write_page(stage.root, stage.files.round)


def _register(stage: Stage, active: tracking.ActiveRun | None) -> None:
    """Register the models and the verdict, sum the loop up on its page, and write the results page."""
    from alignloop.release import release_steps
    from alignloop.tracking.loop_summary import recorded_headlines

    assert active
    out, metrics = stage.paths["out"], stage.paths["metrics"]
    _say(
        release_steps.register_release(
            stage.root, stage.params, stage.inputs, responses=out, metrics=metrics, run=active.id
        )
    )
    for round, headlines in recorded_headlines(stage.root):  # of stages that were up to date, too
        active.log_loop(stage.loop.step(round), headlines)
    active.describe_loop(release_steps.loop_page(metrics, active.id))
    _write_results(stage)


def _decide(stage: Stage, active: tracking.ActiveRun | None) -> None:
    """Promote the candidate, or ask for a person's decision: then Waiting is raised."""
    from alignloop.release import release_steps

    out, metrics = stage.paths["out"], stage.paths["metrics"]
    _say(release_steps.decide_candidate(stage.root, stage.params, out, metrics))
    end_loop(stage.root)


# What happens around a stage: before it starts, after its last step, when its outputs are tracked, and when
# its MLflow run has ended (a release that waits for a person is no failed run).
AROUND: dict[tuple[str, str], Callable[[Stage, tracking.ActiveRun | None], None]] = {
    ("ingest", "before"): _check_sources,
    ("validate", "worked"): _report_drift,
    ("evaluate", "tracked"): _show_responses,
    ("release", "before"): _bring_champion,
    ("release", "worked"): _add_ledger,
    ("release", "tracked"): _register,
    ("release", "ended"): _decide,
}


def _around(moment: str, stage: Stage, active: tracking.ActiveRun | None = None) -> None:
    if step := AROUND.get((stage.name, moment)):
        step(stage, active)


def _checkpoint(stage: Stage, fingerprint: str) -> "Checkpoint | None":
    """The checkpoint of a training stage; those of stages whose results DVC has recorded are removed."""
    root, every = stage.root, stage.params.checkpoint_every.model_dump()
    if stage.name not in every and not (root / ".cache" / "checkpoints").exists():
        return None
    # brings torch, which data stages do without
    from alignloop.training.checkpoints import Checkpoint, forget

    done = {
        f"{entry.stage}@{entry.round}" if entry.round else entry.stage: entry.outputs
        for entry in locked_stages(root)
    }
    forget(root, done)
    if stage.name not in every:
        return None
    minutes = stage.params.checkpoint_minutes
    return Checkpoint(root, stage.files.name, fingerprint, every[stage.name], minutes)


def _adopt(stage: Stage, mark: str, likeness: str) -> str:
    """With `compute.elastic`, take the checkpoints of the same stage on other processes; says so, or nothing.

    `likeness` is the fingerprint without processes, by which later runs find the checkpoints of this one.
    """
    from alignloop.training import elastic

    compute, name = stage.params.compute, stage.files.name
    now = f"{compute.processes} processes, shard {compute.shard}" if compute.processes > 1 else "1 process"
    before = elastic.adopt(stage.root, name, mark, likeness) if compute.elastic else ""
    elastic.sign(stage.root, name, mark, likeness, now)
    if not before:
        return ""
    line = f"compute.elastic: {now} continue what {before} began; numbers round differently from here on"
    _say(f"{tracking.title(stage.files.stage, stage.files.round)}  {line}")
    return line


def _say(line: str) -> None:
    print(line, flush=True)
