"""Every test runs in the project's own environment: nothing phones home, and nothing is written outside the project and tmp_path."""

import shutil
import subprocess
from pathlib import Path

import pytest

from alignloop.io import environment

environment.settle()

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them: making one takes a second or two."""
    from alignloop.io import tracking

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    tracking.client(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, and the working directory: git, DVC, params.yaml, an MLflow store, no stages and no data."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").touch()
    (root / ".dvc" / ".gitignore").write_text("/tmp\n/cache\n")
    (root / ".gitignore").write_text("/mlruns\n/reports\n")
    (root / "mlruns").mkdir()
    shutil.copy(empty_store, root / "mlruns")
    shutil.copy(PROJECT / "params.yaml", root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    monkeypatch.chdir(root)
    return root
