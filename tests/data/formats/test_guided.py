"""A coverage-guided fuzzer finds no failing input. Skipped without atheris (wheels for Linux on x86 only)."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]


def test_no_input_of_a_coverage_guided_fuzzer_makes_an_importer_fail(tmp_path: Path):
    pytest.importorskip("atheris")
    options = ["-runs=1500", "-seed=1", "-max_len=4096", "-timeout=5", "-rss_limit_mb=0"]
    options += [f"-artifact_prefix={tmp_path}/"]
    command = [sys.executable, "-m", "tests.data.formats.guided", str(tmp_path / "corpus"), *options]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done 1500 runs" in done.stderr
