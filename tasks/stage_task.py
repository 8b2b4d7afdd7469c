"""Bring a stage up to date by DVC: its output goes to the log, its metrics and its run into an artifact."""

import json
import logging
import os
import shlex
import signal
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State, TaskRun

from alignloop.errors import AlignloopError, Waiting
from alignloop.flatten import flatten
from alignloop.markdown import plain
from alignloop.pipeline import dvc_pipeline, processes
from alignloop.pipeline.checkout_lock import PipelineBusyError
from alignloop.pipeline.dvc_pipeline import Done, Stage
from alignloop.pipeline.processes import ProcessError
from alignloop.progress import RESUMES, duration, readable, watched
from tasks.console import REPEATED
from tasks.run_position import RUN

MLFLOW_IMPORT = threading.Lock()
"""Held to import MLflow, which takes seconds: another thread would see a half-imported module."""


class StageFailed(AlignloopError):
    """A stage's command failed. `code` is its exit code, or minus the signal that ended it."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Outcome:
    """The outcome of a stage. If it waits for people, `message` says for what."""

    stage: str
    status: Done | Literal["waits"]
    seconds: float
    metrics: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""


def should_retry(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may help: a process was killed, or another run held a lock. Bad data stays bad."""
    error = state.result(raise_on_failure=False)
    is_killed = isinstance(error, StageFailed) and error.code < 0
    return is_killed or isinstance(error, ProcessError | PipelineBusyError)


def warm_up(stages: Iterable[Stage]) -> None:
    """Start the fork server and the import of MLflow in the background, if these stages need them."""
    if any(processes.ALIGNLOOP_COMMAND.fullmatch(stage.command) for stage in stages):
        processes.forkserver.start()
        threading.Thread(target=_import_mlflow, daemon=True).start()


def _import_mlflow() -> None:
    with MLFLOW_IMPORT:
        from alignloop import tracking  # noqa: F401


def bring_up_to_date(group: str, round: str | None = None, force: Collection[str] = ()) -> Outcome:
    """Run the stage if DVC finds it out of date, or if its name is in `force`."""
    name = f"{group}@{round}" if round else group
    log, began = get_run_logger(), time.monotonic()
    position = RUN.get()
    pipeline = dvc_pipeline.pipeline(Path.cwd())
    command = pipeline.stages()[name].command
    function = shlex.split(command)[3] if processes.ALIGNLOOP_COMMAND.fullmatch(command) else ""
    resumed = False

    def start(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        errors: list[str] = []

        def on_line(line: str, is_error: bool) -> None:
            nonlocal resumed
            resumed = resumed or RESUMES in line
            if is_error:
                errors.append(line)
            log.log(
                logging.WARNING if is_error else logging.INFO,
                "%s",
                line,
                extra={REPEATED: is_error and bool(own_message(name, errors, function))},
            )

        if position:
            log.info("%s", position.begin(name))

        code = processes.run(argv, cwd, env, on_line)
        if code == os.EX_TEMPFAIL:
            raise Waiting(failure_message(name, errors, code, function))
        if code:
            raise StageFailed(failure_message(name, errors, code, function), code)

    try:
        with watched(name, lambda line: log.info("%s", line)):  # DVC's own work, before and after the stage's
            status = pipeline.bring_up_to_date(name, start, force=name in force)
    except Waiting as waiting:
        text, description = f"**{waiting}**", f"What {name} waits for"
        create_markdown_artifact(text, key=artifact_key(name), description=description)
        return Outcome(name, "waits", time.monotonic() - began, message=str(waiting))
    stage = pipeline.stages()[name]
    outcome = Outcome(name, status, time.monotonic() - began, _metrics(pipeline.root, stage))
    place = f" · {position.end(name, status == 'ran' and not resumed)}" if position else ""
    if status == "unchanged":
        log.info("%s: up to date%s", name, place)
        return outcome
    log.info("%s: %s in %s%s", name, status, duration(outcome.seconds), place)
    text, description = _page(pipeline.root, stage, outcome), f"What {name} measured"
    create_markdown_artifact(text, key=artifact_key(name), description=description)
    return outcome


def failure_message(name: str, errors: Sequence[str], code: int, function: str = "") -> str:
    """Return the message of a failed stage, from the lines it printed to standard error.

    `function` is what its command runs, where that is not named as the stage: `dpo` of `ppo@r1`.
    """
    if code < 0:
        memory = "; most often the system ran out of memory" if -code == signal.SIGKILL else ""
        ended = f"its process was ended by {signal.Signals(-code).name}{memory}"
        return f"{name}: {ended}; run the same command to continue"
    if message := own_message(name, errors, function):
        said = message[0].partition(": ")[2]
        return "\n".join([f"{name}: {said}", *message[1:]])
    if errors:
        return f"{name}: {errors[-1]} (the lines before it are in the log)"
    return f"{name}: its command ended with exit code {code} and printed nothing"


def own_message(name: str, errors: Sequence[str], function: str = "") -> Sequence[str]:
    """Return the lines of the stage's own message among what it printed to standard error, so far."""
    prefixes = tuple(f"{each}: " for each in (name.partition("@")[0], function) if each)
    starts = [place for place, line in enumerate(errors) if line.startswith(prefixes)]
    return errors[starts[-1] :] if starts else ()


def artifact_key(name: str) -> str:
    """Return a name as an artifact's key: lower-case letters, digits and dashes."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())


def _metrics(root: Path, stage: Stage) -> dict[str, Any]:
    return {
        key: value
        for path in stage.metrics
        for key, value in flatten(json.loads((root / path).read_text(encoding="utf-8"))).items()
    }


def _page(root: Path, stage: Stage, outcome: Outcome) -> str:
    """Return the artifact's Markdown: status, a link to the MLflow run that made these bytes, metrics."""
    with MLFLOW_IMPORT:  # a run in which all stages are up to date does without MLflow
        from alignloop import tracking

    outputs = {path: dvc_pipeline.hash_of(root / path, root) for path in (*stage.outs, *stage.metrics)}
    run = tracking.find_run(root, outputs)
    link = f"[MLflow run {run.id}]({run.url})" if run else "No MLflow run made these bytes here."
    rows = [
        f"| {plain(name)} | {readable(value) if isinstance(value, float) else value} |"
        for name, value in outcome.metrics.items()
    ]
    heading = f"**{stage.name}** {outcome.status} in {outcome.seconds:.1f} s · {link}"
    return "\n".join([heading, "", "| metric | value |", "|---|---|", *rows])
