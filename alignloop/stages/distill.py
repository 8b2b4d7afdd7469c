"""Demonstrations by a teacher as a stage: the command `distill`, when its plan or its prompts change."""

from collections.abc import Iterator
from pathlib import Path

from alignloop.files import write_json
from alignloop.params.distill import Teachers
from alignloop.progress import Progress
from alignloop.teacher.distillation import Distillation, Summary, summary_lines
from alignloop.teacher.plan import DistillError, load_plan

PRINCIPLES = Path("configs/principles.yaml")  # on which the stage depends


def distill(
    distill: Teachers, round: str, plan: Path, prompts: Path, out: Path, metrics: Path
) -> Iterator[Progress]:
    """Let a teacher write a source; `round` is the plan's name. The journal answers equal requests."""
    asked = load_plan(plan)
    wanted = {"prompts": prompts, "out": out}
    wanted |= {"principles": PRINCIPLES} if asked.way == "critique" else {}
    for key, path in wanted.items():
        if Path(getattr(asked, key)) != path:
            raise DistillError(
                f"{plan}: {key}: the stage distill@{round} reads and writes by the name {path}, and the plan "
                f"says {getattr(asked, key)}; write {path} there, or correct distill.{round} in params.yaml"
            )
    work = Distillation(asked)
    try:
        for step in work.run():
            if isinstance(step, Summary):
                write_json(metrics, _counts(step))
                yield Progress(1, 1, note="; ".join(summary_lines(asked, step)))
            else:
                yield step
    finally:
        work.close()


def _counts(done: Summary) -> dict[str, int]:
    """What the file holds; what it cost is in the journal, and is no result."""
    return {
        "demonstrations": done.demonstrations,
        "not_asked": done.not_asked,
        "tasks_left_out": done.filtered.total(),
        "redacted": done.redacted,
    }
