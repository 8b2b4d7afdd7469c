"""`make env` makes the environment, in folders of any name, and mends one whose making was interrupted."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
# a build backend of its own, so that pip needs no network
BACKEND = """
import zipfile
def build_editable(folder, *_):
    name = "toy-1.dist-info"
    with zipfile.ZipFile(f"{folder}/toy-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy.py", "")
        wheel.writestr(f"{name}/METADATA", "Metadata-Version: 2.1\\nName: toy\\nVersion: 1\\n")
        wheel.writestr(f"{name}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{name}/RECORD", "")
    return "toy-1-py3-none-any.whl"
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "toy"
version = "1"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The Makefile of the project, with a package that needs nothing, in a folder of an awkward name."""
    root = tmp_path / "Jürgens Ordner, 50% [a] it's #1"
    (root / "alignloop" / "pipeline").mkdir(parents=True)
    shutil.copy(PROJECT / "Makefile", root)
    for name in ("start.pth", "install.py"):
        shutil.copy(PROJECT / "alignloop" / "pipeline" / name, root / "alignloop" / "pipeline")
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "constraints.txt").touch()
    return root


def make(root: Path) -> str:
    interpreter = Path(sys.base_prefix, "bin", "python3")
    command = ["make", "env", "EXTRAS=", f"PYTHON={interpreter}"]
    # a `make` that is started by another one names the folder that it enters
    alien = ("DVC_SITE_CACHE_DIR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    env = {name: value for name, value in os.environ.items() if name not in alien}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = "import os, toy; print(os.environ['DVC_SITE_CACHE_DIR'], os.environ['PATH'], sep='\\n')"
    said = subprocess.run(
        [root / ".venv" / "bin" / "python", "-X", "utf8", "-c", code],
        cwd="/",
        env=env,
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout.splitlines()
    assert said[0] == f"{root}/.dvc/tmp/site"
    assert said[1].startswith(f"{root}/.venv/bin:")
    return done.stdout


def test_an_environment_is_made_and_mended_whatever_was_left_of_it(folder: Path) -> None:
    said = make(folder)
    assert re.search(r"^installed 1 packages in \d+:\d\d$", said, re.MULTILINE), said
    assert [line for line in said.splitlines() if len(line) > 110] == []
    assert "installing" not in make(folder)  # nothing is left to do
    venv = folder / ".venv"
    [packages] = venv.glob("lib/python*/site-packages")
    for left in ("no pip", "half installed", "no interpreter"):
        (venv / "ready").unlink()
        if left == "no pip":
            shutil.rmtree(packages / "pip")
        elif left == "half installed":
            (venv / "installing").touch()
            (packages / "toy.py").unlink()
        else:
            (venv / "bin" / "python").unlink()
            (venv / "bin" / "python").symlink_to("/nowhere/python")
        assert "installing" in make(folder), left
