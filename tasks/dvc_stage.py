"""What every stage's task does: bring the stage up to date by DVC, its lines into the log, its numbers and its run into an artifact."""

import importlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed

from alignloop.errors import AlignloopError, Waiting
from alignloop.pipeline import dvc_pipeline, processes
from alignloop.pipeline.dvc_pipeline import Done, PipelineBusyError, Stage
from alignloop.pipeline.processes import ProcessError


class StageFailed(AlignloopError):
    """A stage's command failed; the message is its own. `code` is its exit code, negative for the signal that ended it."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Outcome:
    """What became of a stage: it ran, its results came from the cache, or they were there; or it waits for people, and `words` says how."""

    stage: str
    done: Done | Literal["waits"]
    seconds: float
    metrics: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""


_importing = threading.Lock()


def worth_another_try(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may help: a process was killed, or another run was in the way. Bad data and bad numbers stay bad."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, ProcessError | PipelineBusyError) or (
        isinstance(error, StageFailed) and error.code < 0
    )


STAGE: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [5, 60],
    "retry_condition_fn": worth_another_try,
    "cache_policy": NO_CACHE,  # DVC is the cache
    "persist_result": False,
}
"""What all stages' tasks have in common; name, tags and timeout are each task's own."""


def warm_up(stages: Iterable[Stage]) -> None:
    """Start what takes seconds of imports, if there are stages to run that need it, while other things take their time."""
    if any(processes.OWN.fullmatch(stage.command) for stage in stages):
        processes.forkserver.start()
        threading.Thread(target=slowly_imported, args=["alignloop.tracking"], daemon=True).start()


def slowly_imported(name: str) -> Any:
    """A module of ours that imports MLflow, which takes seconds: one thread at a time, for two would find it half-made."""
    with _importing:
        return importlib.import_module(name)


def bring_up_to_date(group: str, round: str | None = None, again: Collection[str] = ()) -> Outcome:
    """Run the stage if DVC says that it is out of date, or if it is among those to run `again`."""
    name, log, began = f"{group}@{round}" if round else group, get_run_logger(), time.monotonic()
    pipeline = dvc_pipeline.pipeline(Path.cwd())

    def start(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        errors: list[str] = []

        def hear(line: str, is_error: bool) -> None:
            log.log(logging.WARNING if is_error else logging.INFO, "%s", line)
            if is_error:
                errors.append(line)

        if code := processes.run(argv, cwd, env, hear):
            raise (
                Waiting(failure(name, errors, code))
                if code == os.EX_TEMPFAIL
                else StageFailed(failure(name, errors, code), code)
            )

    try:
        done = pipeline.bring_up_to_date(name, start, force=name in again)
    except Waiting as waits:
        create_markdown_artifact(f"**{waits}**", key=key_of(name), description=f"What {name} waits for")
        return Outcome(name, "waits", time.monotonic() - began, words=str(waits))
    stage = pipeline.stages()[name]
    outcome = Outcome(name, done, time.monotonic() - began, _metrics(pipeline.root, stage))
    log.info("%s: %s", name, "up to date" if done == "unchanged" else f"{done} in {outcome.seconds:.1f} s")
    if done != "unchanged":
        create_markdown_artifact(
            _page(pipeline.root, stage, outcome), key=key_of(name), description=f"What {name} measured"
        )
    return outcome


def shown(outcome: Outcome) -> Any:
    """The outcome, or for Prefect's pages a state that says what is waited for: nothing failed, and a later run goes on from here."""
    return (
        Completed(name="Waiting", message=outcome.words, data=outcome) if outcome.done == "waits" else outcome
    )


def failure(name: str, errors: Sequence[str], code: int) -> str:
    """The message of a stage that failed, as the stage itself put it on standard error."""
    if code < 0:
        memory = "; most often the system ran out of memory" if -code == signal.SIGKILL else ""
        return f"{name}: its process was ended by {signal.Signals(-code).name}{memory}; run the same command to continue"
    group = name.partition("@")[0]
    own = [place for place, line in enumerate(errors) if line.startswith(f"{group}: ")]
    if own:
        return "\n".join([f"{name}: {errors[own[-1]].removeprefix(f'{group}: ')}", *errors[own[-1] + 1 :]])
    if errors:
        return f"{name}: {errors[-1]} (the lines before it are in the log)"
    return f"{name}: its command ended with exit code {code} and said nothing"


def key_of(name: str) -> str:
    """An artifact's key: lower-case letters, digits and dashes."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())


def _metrics(root: Path, stage: Stage) -> dict[str, Any]:
    return {
        key: value
        for path in stage.metrics
        for key, value in _flat(json.loads((root / path).read_text(encoding="utf-8"))).items()
    }


def _page(root: Path, stage: Stage, outcome: Outcome) -> str:
    """The artifact's Markdown: what happened, a link to the MLflow run that made these bytes, and a table of the metrics."""
    tracking = slowly_imported("alignloop.tracking")  # a run which finds all up to date does without
    run = tracking.find_run(
        root, {path: dvc_pipeline.hash_of(root / path, root) for path in (*stage.outs, *stage.metrics)}
    )
    link = f"[MLflow run {run.id}]({run.url})" if run else "No MLflow run made these bytes here."
    rows = [
        f"| {name} | {value:.6g} |" if isinstance(value, float) else f"| {name} | {value} |"
        for name, value in outcome.metrics.items()
    ]
    return "\n".join(
        [
            f"**{stage.name}** {outcome.done} in {outcome.seconds:.1f} s · {link}",
            "",
            "| metric | value |",
            "|---|---|",
            *rows,
        ]
    )


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        name: leaf
        for key, value in tree.items()
        for name, leaf in _flat(value, f"{prefix}.{key}" if prefix else str(key)).items()
    }


class _OwnWords(logging.Filter):
    """Prefect logs a failure with its traceback; ours are messages that say where to look, and no bugs."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, AlignloopError):
            record.msg, record.args, record.exc_info = "%s", (str(error),), None
        return True


for _logger in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_logger).addFilter(_OwnWords())
