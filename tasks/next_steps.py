"""What to do when a run has ended: where its results are, and the commands that go on from there."""

from collections.abc import Sequence
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.params import load
from alignloop.pipeline.git import git
from alignloop.pipeline.mlflow_pages import DEFAULT_SERVER, runs_table
from alignloop.release.results_page import PAGE
from alignloop.release.round_results import RoundResults, overview, read_results
from tasks.console import wrapped
from tasks.stage_task import MLFLOW_IMPORT, Outcome

RECORDED = ("dvc.lock", "metrics", "params.yaml", "releases")
INDENT = 12  # of the texts, after their titles


def closing_words(root: Path, outcomes: Sequence[Outcome]) -> str:
    """Return what a run prints last: the results of its rounds, and what to open next."""
    results = read_results(root) if outcomes[-1].stage.startswith(("evaluate@", "release")) else None
    parts = [overview(results)] if results else []
    steps = _steps(root, results, outcomes)
    lines = [wrapped(f"{title:<{INDENT}}{text}", indent=INDENT) for title, text in steps]
    parts.append("\n".join(["next:", *(line for each in lines for line in each)]))
    return "\n\n".join(["\n".join(line for text in parts[:-1] for line in wrapped(text)), parts[-1]]).strip()


def _steps(root: Path, results: RoundResults | None, outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    steps: list[tuple[str, str]] = []
    if results and (root / PAGE).exists():
        steps.append(("results", f"{PAGE}, in a browser: table, gates, pictures, responses of every round"))
    elif (root / "reports" / "validation" / "sets" / "index.html").exists():
        steps.append(("data", "reports/validation/sets/index.html, in a browser: what is in the sets"))
    if results and results.verdict and not results.verdict["passed"]:
        steps.append(
            (
                "gates",
                "the candidate was refused: change params.yaml or the data and run again, or have a person "
                "decide: `.venv/bin/python -m alignloop review`",
            )
        )
    steps.append(("curves", f"`make serve`, then {_runs_page(root, outcomes)}"))
    if results:
        newest = f"models/{results.rounds[-1]}/policy"
        steps.append(("talk", f"`make chat`: the champion; {newest}: three lines of Python, docs/faq.md"))
    if any(outcome.status != "unchanged" for outcome in outcomes) and _has_changes(root):
        steps.append(("keep", f"`git add {' '.join(RECORDED)} && git commit`"))
    return steps


def _runs_page(root: Path, outcomes: Sequence[Outcome]) -> str:
    if all(outcome.status == "unchanged" for outcome in outcomes):
        return f"the address that it prints for MLflow ({DEFAULT_SERVER})"  # MLflow takes seconds to import
    with MLFLOW_IMPORT:
        from alignloop.tracking.runs_page import runs_page
    try:
        return runs_page(root)
    except AlignloopError:
        return runs_table(DEFAULT_SERVER, None)  # its server is away; the run itself has ended well


def _has_changes(root: Path) -> bool:
    return bool(git(root, "status", "--porcelain", "--", *RECORDED))


def waiting_words(root: Path, message: str) -> str:
    """Return what a run prints last that waits for people."""
    url = load(root / "params.yaml").people.url
    serving = f"next: `make serve` serves the pages for it at {url}, if they are not served yet"
    return "\n".join([*wrapped(message), *wrapped(serving)])
