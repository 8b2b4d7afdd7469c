"""The MLflow store is created atomically, has one URI from every directory, and its errors have a remedy."""

import re
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.tracking import TrackingError
from tests.mounts import read_only, small_disk, told_by


def test_a_store_is_created_completely_or_not_at_all(project: Path):
    store = project / "other" / "mlflow.db"
    process = get_context("fork").Process(target=tracking.create_store, args=(store,))
    process.start()
    part, deadline = store.with_name(".mlflow.db.part"), time.monotonic() + 60
    while not part.exists() or not part.stat().st_size:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not store.exists()
    assert tracking.client(f"sqlite:///{store}").search_experiments()
    assert {path.name for path in store.parent.iterdir()} == {"mlflow.db", ".making"}


def test_an_invalid_database_is_named_with_the_remedy(project: Path):
    (project / "mlruns" / "mlflow.db").write_text("not a database, and long enough to be looked at as one")
    with (
        pytest.raises(TrackingError, match=r"mlruns/mlflow\.db.*move it away to begin a new store"),
        tracking.run(project, "sft"),
    ):
        pass


@pytest.mark.parametrize("there", [True, False], ids=["with a store", "empty"])
def test_a_read_only_mlruns_is_named_with_the_remedy(project: Path, there: bool):
    if not there:
        (project / "mlruns" / "mlflow.db").unlink()

    def work() -> None:
        read_only(project / "mlruns")
        with tracking.run(project, "sft"):
            pass

    assert re.search(
        r"mlruns\S*: cannot be .*: Read-only file system; make .*writable and run again$", told_by(work)
    )
    assert [path.name for path in (project / "mlruns").iterdir()] == (["mlflow.db"] if there else [])


def test_a_full_disk_is_named_with_the_remedy(project: Path, capfd: pytest.CaptureFixture[str]):
    def work() -> None:
        store = (project / "mlruns" / "mlflow.db").read_bytes()
        small_disk(project / "mlruns", len(store) // 1024 + 40)
        (project / "mlruns" / "mlflow.db").write_bytes(store)
        with tracking.run(project, "sft") as run:
            run.log(1, {f"m{number}": 0.5 for number in range(1000)})

    message = r"TrackingError: MLflow at sqlite:///\S+: .*disk is full; make room there and run again: .*"
    assert re.fullmatch(message, told_by(work))
    assert capfd.readouterr().err == ""


def test_an_unreachable_server_is_named_with_the_remedy(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with (
        pytest.raises(
            TrackingError, match=r"http://127\.0\.0\.1:9.*start that server, or unset MLFLOW_TRACKING_URI"
        ),
        tracking.run(project, "sft"),
    ):
        pass


def test_the_store_is_the_same_from_any_directory_and_for_dvcs_temporary_copies(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = f"sqlite:///{project}/mlruns/mlflow.db"
    assert tracking.store_uri(Path()) == tracking.store_uri(project) == expected
    copy = project / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.setenv("DVC_ROOT", str(project))
    assert tracking.store_uri(copy) == expected
    elsewhere = project.parent / "other"
    assert tracking.store_uri(elsewhere) == f"sqlite:///{elsewhere}/mlruns/mlflow.db", (
        "another project is not a copy"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    assert tracking.store_uri(project) == f"sqlite:///{project}/mine.db"
