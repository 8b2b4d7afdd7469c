"""What pip reports is counted and said in short lines; its errors and its exit status pass through."""

import subprocess
import sys
from pathlib import Path

import pytest

from alignloop.pipeline import install

PROJECT = Path(__file__).parents[2]
REPORT = """\
Obtaining file:///project
  Preparing editable metadata (pyproject.toml): finished with status 'done'
Collecting torch==2.9.0 (from toy==1)
  Downloading torch-2.9.0-cp311-none-linux_x86_64.whl.metadata (30 kB)
Requirement already satisfied: PyYAML in ./lib (from toy==1) (6.0)
Collecting torch (from other)
Using cached idna-3.1-py3-none-any.whl (10 kB)
Downloading torch-2.9.0-cp311-none-linux_x86_64.whl (900.0 MB)
"""


def test_packages_are_counted_as_they_are_found_downloaded_and_installed(tmp_path: Path) -> None:
    (tmp_path / "pip-25.0.dist-info").mkdir()
    progress = install.Progress(tmp_path)
    progress.read(REPORT.splitlines(keepends=True))
    assert str(progress) == "2 packages found, 2 downloaded"
    progress.read(["Installing collected packages: idna, torch, toy\n"])
    assert str(progress) == "0 of 3 packages installed"
    for name in ("idna-3.1", "torch-2.9.0"):
        (tmp_path / f"{name}.dist-info").mkdir()
    assert str(progress) == "2 of 3 packages installed"


def test_pips_error_and_exit_status_pass_through() -> None:
    script = PROJECT / "alignloop" / "pipeline" / "install.py"
    command = [sys.executable, script, "--no-index", "no-such-package"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "No matching distribution found for no-such-package" in done.stderr
    assert "installed" not in done.stdout


def test_it_says_now_and_then_how_far_it_is_and_at_last_that_it_has_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import sys, time; print('Collecting a', flush=True); print('WARNING', file=sys.stderr); "
        "time.sleep(0.5)"
    )
    monkeypatch.setattr(install, "PIP", (sys.executable, "-c", code))
    monkeypatch.setattr(install, "EVERY_SECONDS", 0.1)
    said: list[str] = []
    assert install.main([], said.append) == 0
    assert "installing: 1 packages found, 0 downloaded · 0:00" in said[:-1]
    assert said[-1].startswith("installed 0 packages in 0:0")
    assert capsys.readouterr().err == ""
