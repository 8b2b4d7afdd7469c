"""What the plan asks the doctor before the first stage runs."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from alignloop.checks import stage_memory
from alignloop.checks.adopted_rounds import check_adopted
from alignloop.checks.harness_tasks import check_tasks
from alignloop.checks.machine_memory import free_memory
from alignloop.checks.processor_time import BUSY
from alignloop.checks.rule_files import check_rules
from alignloop.core.model_shape import shape_of
from alignloop.errors import AlignloopError
from alignloop.params import Params
from alignloop.progress import duration


class RunRefused(AlignloopError):
    """A stage would fail; the message has all that the doctor found, each with what helps."""


def consult_sizes(root: Path, planned: Params) -> list[str]:
    """Compare what the stages need with what is free, in milliseconds; returns what to say.

    Raises RunRefused. It needs no torch, so it looks at a CPU only.
    """
    if planned.compute.device != "cpu":
        return []
    shape = (
        stage_memory.built_in_shape(planned) if planned.base is None else shape_of(root / "models" / "base")
    )
    if shape is None:
        return []
    needs = stage_memory.usages(planned, shape, "cpu")
    found = stage_memory.check_fit(planned, needs, "cpu", free_memory("cpu"))
    _refuse([f"{each.message}; {each.remedy}" for each in found if each.severity == "error"])
    return [f"{each.message}; {each.remedy}" for each in found if each.severity == "warning"]


def consult_files(root: Path, planned: Params) -> None:
    """Look at files that late stages need: of rules, of checkpoints that are adopted, of the harness's tasks.

    Raises RunRefused with all that is wrong.
    """
    found = [
        *check_rules(planned, root),
        *check_adopted(planned, root),
        *check_tasks(planned.evaluate.tasks, root),
    ]
    _refuse([f"{each.message}; {each.remedy}" if each.remedy else each.message for each in found])


@dataclass(frozen=True)
class Consultation:
    """What to say, the rates that were measured, and whether they gave the time of every stage."""

    lines: list[str]
    rates: Mapping[str, float] | None = None
    complete: bool = True


def consult(
    root: Path,
    base: str | None,
    files: Sequence[Path],
    overrides: Mapping[str, Any],
    times: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Consultation:
    """Let the doctor examine a base with these changes of params.yaml; its progress goes to `say`.

    It runs in a process of its own, which imports torch. Raises RunRefused with all errors at once.
    """
    changes = [part for key, value in overrides.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    asked = [*([base] if base else []), *changes, *(part for file in files for part in ("--with", str(file)))]
    found = _ask(root, base, [*asked, *([] if times else ["--no-times"])], say)
    sentences = {
        kind: [
            f"{each['message']}{'; ' if each['remedy'] else ''}{each['remedy']}"
            for each in found["findings"]
            if each["severity"] == kind
        ]
        for kind in ("error", "warning")
    }
    errors = sentences["error"]
    _refuse([said if said.startswith("ppo.score") else f"base: {said}" for said in errors])
    rates, seconds = found["rates"], found["seconds"]
    return Consultation([*sentences["warning"], *_times(seconds, rates)], rates, "sft" in seconds)


def consult_again(root: Path, base: str | None, rates: Mapping[str, float]) -> list[str]:
    """How long the stages take by the data that is prepared now, and by rates that were measured before."""
    found = _ask(root, base, [*([base] if base else []), "--rates", json.dumps(dict(rates))], lambda _: None)
    return _times(found["seconds"], rates)


def _ask(
    root: Path, base: str | None, arguments: Sequence[str], say: Callable[[str], None]
) -> dict[str, Any]:
    """The doctor's object. Raises RunRefused with its last words where there is none."""
    command = [sys.executable, "-m", "alignloop", "doctor", "--json", *arguments]
    process = subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    assert process.stdout
    assert process.stderr
    printed: list[str] = []
    reader = Thread(target=lambda lines: printed.extend(lines), args=(process.stdout,), daemon=True)
    reader.start()
    told: list[str] = []
    with process:
        for line in process.stderr:
            if line.startswith("doctor  "):
                say(line.rstrip())
            elif line.strip():
                told.append(line.strip())
        reader.join()
    try:
        return json.loads(printed[-1])
    except (ValueError, IndexError):
        said = told[-1] if told else f"the doctor ended with status {process.returncode}"
        raise RunRefused(f"base: {base}: {said}") from None


def _times(seconds: Mapping[str, float], rates: Mapping[str, float] | None) -> list[str]:
    """About how long the stages take, in one line."""
    if not seconds or rates is None:
        return []
    told = ", ".join(f"{stage} {duration(spent)}" for stage, spent in seconds.items())
    slowdown = rates["slowdown"]
    busy = f"; this machine is busy: {slowdown:.1f} times as long now" if slowdown >= BUSY else ""
    return [f"about how long on idle cores (h:mm:ss or m:ss, of rounds each): {told}{busy}"]


def _refuse(errors: Sequence[str]) -> None:
    if len(errors) == 1:
        raise RunRefused(errors[0])
    if errors:
        raise RunRefused(
            "\n".join([f"{len(errors)} things stop this run:", *(f"- {said}" for said in errors)])
        )
