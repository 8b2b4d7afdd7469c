"""What the plan asks the doctor before the first stage runs."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignloop.checks import stage_memory
from alignloop.checks.adopted_rounds import check_adopted
from alignloop.checks.harness_tasks import check_tasks
from alignloop.checks.machine_memory import free_memory
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


def consult(
    root: Path, base: str | None, files: Sequence[Path], overrides: Mapping[str, Any], times: bool = True
) -> list[str]:
    """Let the doctor examine a base with these changes of params.yaml; returns what to say.

    It runs in a process of its own, which imports torch. Raises RunRefused with all errors at once.
    """
    changes = [part for key, value in overrides.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    command = [sys.executable, "-m", "alignloop", "doctor", *([base] if base else []), "--json", *changes]
    command += [part for file in files for part in ("--with", str(file))]
    command += [] if times else ["--no-times"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    try:
        found: Any = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        said = done.stderr.strip().splitlines()[-1:] or [f"the doctor ended with status {done.returncode}"]
        raise RunRefused(f"base: {base}: {said[0]}") from None
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
    return [*sentences["warning"], *_times(found["seconds"])]


def _times(seconds: Mapping[str, float]) -> list[str]:
    """About how long the stages take, in one line."""
    if not seconds:
        return []
    told = ", ".join(f"{stage} {duration(spent)}" for stage, spent in seconds.items())
    return [f"about how long on this machine (h:mm:ss or m:ss, of rounds each): {told}"]


def _refuse(errors: Sequence[str]) -> None:
    if len(errors) == 1:
        raise RunRefused(errors[0])
    if errors:
        raise RunRefused(
            "\n".join([f"{len(errors)} things stop this run:", *(f"- {said}" for said in errors)])
        )
