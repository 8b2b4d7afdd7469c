"""The commands for backup, restore and remotes in docs/operations.md work as written."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from alignloop import tracking
from alignloop.lineage.graph import load_graph
from alignloop.lineage.tree import render_ancestors
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.dvc_errors import VersioningError
from alignloop.pipeline.dvc_pipeline import Pipeline
from alignloop.pipeline.run_commits import commit_run
from alignloop.tracking import registry

DOCUMENT = Path(__file__).parents[1] / "docs" / "operations.md"
PIPELINE = """
stages:
  train: {cmd: mkdir -p models/m && rev source.txt > models/m/w.txt, deps: [source.txt], outs: [models/m]}
"""


def shell(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
    subprocess.run(argv, cwd=cwd, env=env, check=True)


def block(name: str) -> str:
    found = re.search(
        rf"<!-- {name} -->\n```sh\n(.*?)```\n<!-- /{name} -->",
        DOCUMENT.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert found
    return found[1]


def run_block(name: str, cwd: Path, **places: Path) -> None:
    env = os.environ | {name: str(place) for name, place in places.items()}
    done = subprocess.run(["bash", "-euc", block(name)], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def trained(project: Path) -> Path:
    (project / "dvc.yaml").write_text(PIPELINE)
    (project / "source.txt").write_text("bytes\n")
    for words in (
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "a pipeline"],
    ):
        subprocess.run(["git", *words], check=True)
    Pipeline(project).bring_up_to_date("train", shell)
    return project


def test_a_backup_is_restored_as_documented(trained: Path, tmp_path: Path) -> None:
    (trained / ".dvc" / "config").write_text(
        f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {tmp_path / 'remote'}\n"
    )
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "a remote"], check=True
    )
    hash = Pipeline(trained).hash_of(trained / "models/m")
    with tracking.run(trained, "train") as run:
        run.finish({"models/m": hash})
    registry.register(trained, "m", "models/m", hash, run=run.id, description="", parents={}, tags={})
    recorded = commit_run(trained, "runs", "a run")
    lineage = list(render_ancestors(load_graph(trained), "models/m", hash))
    (tmp_path / "backup").mkdir()
    run_block("backup", trained, TO=tmp_path / "backup")

    tracking.client.cache_clear()
    dvc_pipeline.pipeline.cache_clear()
    os.chdir(tmp_path)
    shutil.rmtree(trained)
    run_block("restore", tmp_path, FROM=tmp_path / "backup", HERE=trained)

    os.chdir(trained)
    assert Pipeline(trained).outdated() == []
    assert (trained / "models" / "m" / "w.txt").read_text() == "setyb\n"
    [version] = registry.versions(trained)
    assert (version.name, version.hash) == ("m", hash)
    source = Path(version.source.removeprefix("file://"))
    assert source.is_relative_to(trained / "mlruns")
    assert (source / "w.txt").read_text() == "setyb\n"
    assert list(render_ancestors(load_graph(trained), "models/m", hash)) == lineage
    assert commit_run(trained, "runs", "a run") == replace(recorded, is_new=False)


def test_bytes_are_pushed_to_an_s3_remote_and_pulled_back(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        place = "http://{}:{}".format(*server.get_host_and_port())
        store = boto3.client("s3", endpoint_url=place, region_name="us-east-1")
        remote = f"['remote \"s\"']\n    url = s3://bucket/alignloop\n    endpointurl = {place}\n"
        config = f"{remote}[core]\n    remote = s\n"
        (trained / ".dvc" / "config").write_text(config)
        with pytest.raises(
            VersioningError, match=r"remote s \(s3://bucket/alignloop\): .*run again: nothing was lost"
        ):
            list(Pipeline(trained).push())
        store.create_bucket(Bucket="bucket")
        assert list(Pipeline(trained).push()) == [(6, 6)]
        assert len(store.list_objects_v2(Bucket="bucket")["Contents"]) == 2, "the folder's list and its file"
        shutil.rmtree(trained / ".dvc" / "cache")
        shutil.rmtree(trained / "models")
        subprocess.run(["dvc", "pull", "-q"], check=True)
        assert Pipeline(trained).outdated() == []
    finally:
        server.stop()
