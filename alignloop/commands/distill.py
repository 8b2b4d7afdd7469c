"""`python -m alignloop distill PLAN`: a teacher behind an OpenAI-compatible endpoint writes demonstrations.

The plan says whom to ask, for what and at what cost at most (configs/teacher.yaml); the result is a source
file, which `ingest` reads. The same command resumes. The key is in ALIGNLOOP_TEACHER_KEY.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from alignloop.progress import Progress, paced
from alignloop.teacher.costs import words_of
from alignloop.teacher.distillation import Distillation, Summary, summary_lines
from alignloop.teacher.plan import EXAMPLE, load_plan


def command(arguments: Sequence[str]) -> int:
    """Ask the teacher, within the plan's budget, and write its demonstrations."""
    parser = argparse.ArgumentParser("python -m alignloop distill", description=__doc__)
    parser.add_argument("plan", type=Path, help=f"a YAML file such as {EXAMPLE}")
    parser.add_argument("--dry-run", action="store_true", help="say what it would take at most; ask nobody")
    parser.add_argument(
        "--again", action="store_true", help="ask again for replies that were refused or empty"
    )
    options = parser.parse_args(arguments)
    plan = load_plan(options.plan)
    distillation = Distillation(plan)
    try:
        for line in _before(distillation):
            print(line, flush=True)
        if options.dry_run:
            return 0
        summary: list[Summary] = []
        for _ in paced(_progress(distillation, options.again, summary), "distill", _say):
            pass
        for line in summary_lines(plan, summary[0]):
            print(line)
    finally:
        distillation.close()
    return 0


def _progress(distillation: Distillation, again: bool, summary: list[Summary]) -> Iterator[Progress]:
    for step in distillation.run(again):
        if isinstance(step, Summary):
            summary.append(step)
        else:
            yield step


def _before(distillation: Distillation) -> Iterator[str]:
    """What the run is about to do, and what it takes at most."""
    plan, found = distillation.plan, distillation.items
    bound = distillation.most()
    what = {"rewrites": "rankings", "self-instruct": "seed tasks"}.get(plan.way, "prompts")
    yield f"{plan.way}: {len(found.items):,} {what} of {plan.prompts}, teacher {plan.teacher.name}"
    if found.left_out:
        yield f"left out: {', '.join(f'{count:,} {reason}' for reason, count in found.left_out.items())}"
    if found.licences:
        yield f"licences of the prompts: {', '.join(found.licences)}; of the replies: {plan.teacher.terms}"
    yield (
        f"at most {bound.requests:,} requests, {bound.tokens:,} tokens, "
        f"{words_of(bound.money, plan.budget.price)}; spent before: "
        f"{distillation.journal.requests:,} requests"
    )


def _say(line: str) -> None:
    print(line, flush=True)
