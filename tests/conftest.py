"""Every test runs in the project's own environment: nothing phones home, and nothing is written outside the
project and tmp_path.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from alignloop.pipeline import environment

environment.configure()
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: workers share the cores already
hypothesis.settings.register_profile(
    "project", deadline=None
)  # how long an example takes is the machine's business
hypothesis.settings.load_profile("project")

PROJECT = Path(__file__).parents[1]
LONGEST = [  # files whose tests take minutes begin first, so that no worker is left with one at the end
    "test_end_to_end.py",
    "test_flows.py",
    "test_launch.py",
    "test_sharding.py",
    "test_ranks.py",
    "test_flow_waits.py",
    "test_devices.py",
    "test_serve.py",
    "test_memory_estimate.py",
]
TEXTS = ["Is the sea full of salt? Yes, it is.", "Who painted the door green? Nobody knows who painted it."]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; all others in the order in which they were found."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them: making one takes a second or two."""
    from alignloop import tracking

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    tracking.client(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, and the working directory: git, DVC, params.yaml, an MLflow store, no stages and
    no data.
    """
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    root = make_project(tmp_path / "project", empty_store)
    monkeypatch.chdir(root)
    return root


def make_project(root: Path, empty_store: Path) -> Path:
    """The files of the fixture `project`, in `root`."""
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").touch()
    (root / ".dvc" / ".gitignore").write_text("/tmp\n/cache\n")
    (root / ".gitignore").write_text("/mlruns\n/reports\n")
    (root / "mlruns").mkdir()
    shutil.copy(empty_store, root / "mlruns")
    shutil.copy(PROJECT / "params.yaml", root)
    shutil.copy(PROJECT / ".dvcignore", root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SFT model on disk: one layer of width 16, and a tokenizer of 300 tokens."""
    return write_tiny_policy(tmp_path_factory.mktemp("models") / "sft", seed=0)


def write_tiny_policy(folder: Path, seed: int) -> Path:
    from alignloop.core.models import new_policy, save_policy
    from alignloop.core.tokens import train_tokenizer

    tokenizer = train_tokenizer(TEXTS * 3, 300)
    save_policy(new_policy(tokenizer, layers=1, width=16, heads=2, context=96, seed=seed), tokenizer, folder)
    return folder


def programs() -> Path | None:
    """Where PostgreSQL's own programs are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [
        Path(each) for each in [shutil.which("initdb")] if each
    ]
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of its own, on a socket, without a port."""
    bin = programs()
    if bin is None:
        pytest.skip("no PostgreSQL is installed here (initdb is missing)")
    folder = tmp_path_factory.mktemp("pg")
    root = os.geteuid() == 0  # PostgreSQL refuses to run as root
    if root:
        for place in (folder, *folder.parents):
            if Path(tempfile.gettempdir()) not in place.parents:
                break
            place.chmod(0o755)
        shutil.chown(folder, "postgres", "postgres")
    who: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if root else {}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": folder, "check": True, **who}
    subprocess.run(
        [bin / "initdb", "-D", "data", "-U", "test", "-A", "trust", "--no-sync", "--locale=C.UTF-8"], **quiet
    )
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    subprocess.run(
        [bin / "pg_ctl", "-D", "data", "-w", "-t", "300", "-l", "log", "-o", options, "start"], **quiet
    )
    try:
        yield f"postgresql://test@/postgres?host={folder}"
    finally:
        command = [bin / "pg_ctl", "-D", "data", "-t", "300", "-m", "immediate", "stop"]
        subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd=folder, check=False, **who
        )  # it may have gone
