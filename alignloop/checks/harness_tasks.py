"""The tasks of the lm-evaluation-harness that a run asks for: looked at before anything runs."""

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from alignloop.checks.findings import Finding
from alignloop.params.evaluate import HarnessTask

FOLDER = Path("harness")
INSTALL = "install it: `.venv/bin/python -m pip install --constraint constraints.txt lm_eval`"
TASK = re.compile(r"^task:\s*['\"]?([^\s'\"#]+)", re.MULTILINE)
SHOTS = re.compile(r"^num_fewshot:", re.MULTILINE)


def check_tasks(tasks: Mapping[str, HarnessTask], root: Path) -> list[Finding]:
    """An error for each reason why the tasks cannot run: the extra, or a task's file, is not there."""
    found: list[Finding] = []
    if tasks and importlib.util.find_spec("lm_eval") is None:
        found.append(
            Finding("tasks", "error", "evaluate.tasks needs the package lm_eval, which is not here", INSTALL)
        )
    known = task_files(root)
    for name in tasks:
        if name not in known:
            there = f"there are {', '.join(sorted(known))}" if known else "there is none"
            fault = f"evaluate.tasks.{name}: no file in {FOLDER}/ has `task: {name}`; {there}"
            found.append(Finding("tasks", "error", fault, f"put its YAML file into {FOLDER}/"))
        elif SHOTS.search(known[name].read_text(encoding="utf-8", errors="replace")):
            fault = f"{known[name].relative_to(root)}: num_fewshot would hide the shots of evaluate.tasks"
            found.append(Finding("tasks", "error", fault, "remove the line"))
    return found


def task_files(root: Path) -> dict[str, Path]:
    """The task files of the project by the names of their tasks."""
    files = sorted((root / FOLDER).rglob("*.y*ml"))
    texts = {file: file.read_text(encoding="utf-8", errors="replace") for file in files}
    return {name: file for file, text in texts.items() for name in TASK.findall(text)}
