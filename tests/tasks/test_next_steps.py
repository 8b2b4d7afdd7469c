"""What a run prints last: its results and what to open next, in lines that fit."""

import subprocess
from pathlib import Path

import pytest

from alignloop.release.results_page import PAGE, write_page
from tasks.console import WIDTH
from tasks.next_steps import closing_words, waiting_words
from tasks.stage_task import Outcome
from tests.evaluation.evaluations import evaluation
from tests.release.result_files import make_rounds, released, verdict

RAN = [Outcome("ingest", "unchanged", 0.1), Outcome("release", "ran", 1.0)]
TABLE = "http://127.0.0.1:5000/#/experiments?workflowType=machine_learning"


@pytest.fixture
def rounds(project: Path) -> Path:
    write_page(make_rounds(project))
    return project


def steps(text: str) -> dict[str, str]:
    """The steps after "next:", by their titles; lines that were wrapped are joined."""
    found: dict[str, str] = {}
    title = ""
    for line in text.split("next:\n")[1].splitlines():
        title = line[:12].strip() or title
        found[title] = f"{found.get(title, '')} {line[12:]}".strip()
    return found


def test_it_ends_with_the_table_and_where_to_look_talk_and_commit(rounds: Path) -> None:
    text = closing_words(rounds, RAN)
    assert text.startswith("| model |")
    assert "Gates PASSED: 10 of 10 asked rules are met" in text
    assert all(len(line) <= WIDTH for line in text.splitlines())
    said = steps(text)
    assert said["results"].startswith(f"{PAGE}, in a browser")
    assert said["curves"] == f"`make serve`, then {TABLE}", "no run is in the store yet"
    assert said["talk"].startswith("`make chat`: the champion; models/r2/policy: ")
    assert said["keep"] == "`git add dvc.lock metrics params.yaml releases && git commit`"
    assert "gates" not in said


def test_a_refused_candidate_leads_to_what_one_can_do(rounds: Path) -> None:
    missed = verdict(max_length_drift={"value": 0.5, "bound": 0.25, "met": False})
    released(rounds, missed, r1=evaluation(), r2=evaluation(rate=0.75))
    text = closing_words(rounds, RAN)
    assert "\n! A gate is not met: " in text
    assert "`.venv/bin/python -m alignloop review`" in steps(text)["gates"]


def test_a_run_in_which_nothing_ran_asks_for_no_commit_and_imports_no_mlflow(rounds: Path) -> None:
    said = steps(closing_words(rounds, [Outcome("release", "unchanged", 0.1)]))
    assert "keep" not in said
    assert said["curves"].endswith("the address that it prints for MLflow (http://127.0.0.1:5000)")


def test_results_that_git_has_already_are_not_to_be_committed(rounds: Path) -> None:
    for command in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=rounds, check=True)
    assert "keep" not in steps(closing_words(rounds, RAN))


def test_a_run_of_the_data_alone_shows_the_data(rounds: Path) -> None:
    page = rounds / "reports" / "validation" / "sets" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    text = closing_words(rounds, [Outcome("validate_sets", "ran", 1.0)])
    assert text.startswith("next:\ndata        reports/validation/sets/index.html")
    assert "talk" not in steps(text)


def test_a_run_that_waits_names_the_pages_and_the_command_that_serves_them(project: Path) -> None:
    text = waiting_words(project, "label@r1: 3 of 4 rankings are missing")
    assert text.splitlines()[0] == "label@r1: 3 of 4 rankings are missing"
    assert "next: `make serve` serves the pages for it at http://127.0.0.1:4300" in text
