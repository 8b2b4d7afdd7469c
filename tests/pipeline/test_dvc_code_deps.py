"""A change of comments or type hints leaves a stage up to date, in our own runs and for the `dvc` program."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from alignloop.pipeline.dvc_lock import locked_stages
from alignloop.pipeline.dvc_pipeline import Pipeline
from alignloop.pipeline.git import revision
from alignloop.tracking import find_run
from alignloop.tracking import run as tracked_run

DVC = Path(sys.executable).with_name("dvc")
LOSS = "def loss(x: float) -> float:\n    return x * x\n"
STAGES = {
    "learn": {
        "cmd": "python alignloop/core/loss.py > model.txt",
        "deps": ["data.txt", "alignloop/core"],
        "outs": ["model.txt"],
    },
    "use": {
        "cmd": "cat model.txt > used.txt",
        "deps": ["model.txt", "alignloop/use.py"],
        "outs": ["used.txt"],
    },
}


def shell(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
    subprocess.run(argv, cwd=cwd, env=env, check=True)


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=root, check=True)


@pytest.fixture
def learned(project: Path) -> Path:
    """A project whose two stages have run, with the code committed."""
    (project / "alignloop" / "core").mkdir(parents=True)
    (project / "alignloop" / "core" / "loss.py").write_text(LOSS + "print(loss(3))\n")
    (project / "alignloop" / "use.py").write_text("x = 1\n")
    (project / "data.txt").write_text("1\n")
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    git(project, "add", "-A")
    git(project, "commit", "-qm", "code")
    pipeline = Pipeline(project)
    with tracked_run(project, "learn", None) as active:
        assert [pipeline.bring_up_to_date(name, shell) for name in STAGES] == ["ran", "ran"]
        active.finish({"model.txt": pipeline.hash_of(project / "model.txt")})
    return project


def status(root: Path) -> dict[str, list[object]]:
    """What the `dvc` program says is stale."""
    return json.loads(
        subprocess.run([DVC, "status", "--json"], cwd=root, check=True, capture_output=True).stdout
    )


def test_a_comment_a_docstring_a_format_or_a_hint_is_no_change(learned: Path) -> None:
    assert (status(learned), Pipeline(learned).outdated()) == ({}, [])
    lock = (learned / "dvc.lock").read_bytes()
    (learned / "alignloop" / "core" / "loss.py").write_text(
        '"""The loss."""\n\n\ndef loss(x):\n    """The square."""\n'
        "    return (\n        x * x  # convex\n    )\n\n\nprint(loss(3))\n"
    )
    assert (status(learned), Pipeline(learned).outdated()) == ({}, [])
    assert [Pipeline(learned).bring_up_to_date(name, shell) for name in STAGES] == ["unchanged"] * 2
    assert (learned / "dvc.lock").read_bytes() == lock


def test_lineage_still_names_the_commit_that_made_the_bytes(learned: Path) -> None:
    made = revision(learned)[0]
    (learned / "alignloop" / "core" / "loss.py").write_text(f"# a comment\n{LOSS}print(loss(3))\n")
    git(learned, "commit", "-qam", "comment")
    assert Pipeline(learned).outdated() == []
    assert revision(learned)[0] != made
    found = find_run(learned, {"model.txt": Pipeline(learned).hash_of(learned / "model.txt")})
    assert found
    assert found.commit == made


def test_another_loss_runs_its_stage_and_what_follows_and_no_more(learned: Path) -> None:
    (learned / "alignloop" / "core" / "loss.py").write_text(LOSS.replace("*", "+") + "print(loss(3))\n")
    assert list(status(learned)) == ["learn"]
    assert [Pipeline(learned).bring_up_to_date(name, shell) for name in STAGES] == ["ran", "ran"]
    (learned / "alignloop" / "use.py").write_text("x = 2\n")
    assert list(status(learned)) == ["use"]


def test_a_new_file_in_a_folder_of_code_is_a_change(learned: Path) -> None:
    (learned / "alignloop" / "core" / "new.py").write_text("x = 1\n")
    assert list(status(learned)) == ["learn"]


def test_data_counts_by_its_bytes(learned: Path) -> None:
    (learned / "data.txt").write_text("1 \n")
    assert list(status(learned)) == ["learn"]


def test_dvc_lock_holds_the_hash_of_the_code(learned: Path) -> None:
    [learn, _] = locked_stages(learned)
    assert learn.code == {"alignloop/core": Pipeline(learned).hash_of(learned / "alignloop" / "core")}


def test_what_dvc_repro_runs_is_up_to_date_for_us_too(learned: Path) -> None:
    (learned / "alignloop" / "core" / "loss.py").write_text("print(1)\n")
    subprocess.run([DVC, "repro", "-q"], cwd=learned, check=True)
    (learned / "alignloop" / "core" / "loss.py").write_text("print(1)  # one\n")
    assert Pipeline(learned).outdated() == []
