"""The Containerfile copies what is there, its user is not root, its volumes hold all that a run writes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mounts import read_only, told_by

PROJECT = Path(__file__).parents[1]
LINES = re.sub(r"\s*\\\n\s*", " ", (PROJECT / "Containerfile").read_text(encoding="utf-8")).splitlines()
CODE = ("alignloop", "flows", "tasks", "configs", "tests", ".git", "dvc.yaml")
# the folders that the run of a stage needs, beside the volumes
TEMPORARY = {"dvc.lock", ".dvc/tmp"}


def values(instruction: str) -> list[str]:
    return [line.removeprefix(f"{instruction} ") for line in LINES if line.startswith(f"{instruction} ")]


def volumes() -> set[str]:
    [volumes] = values("VOLUME")
    return {str(Path(each).relative_to("/alignloop")) for each in json.loads(volumes)}


def test_what_is_copied_exists_and_the_user_is_not_root() -> None:
    for copied in values("COPY"):
        *sources, _ = copied.split()
        assert all((PROJECT / source).exists() for source in sources)
    [user] = values("USER")
    assert int(user) > 0
    [run] = values("ENTRYPOINT")
    assert json.loads(run) == [".venv/bin/python", "-m", "flows.pipeline"]


def test_the_volumes_are_all_that_stages_and_stores_write() -> None:
    from alignloop.pipeline.dvc_pipeline import pipeline
    from alignloop.pipeline.machine import STORES

    written = {
        path for stage in pipeline(PROJECT).stages().values() for path in (*stage.outs, *stage.metrics)
    }
    tops = {Path(path).parts[0] for path in written} | set(STORES) | {"plots", "releases", ".dvc/cache"}
    assert tops == volumes()
    owned = next(line for line in LINES if "chown -R" in line)
    assert volumes() <= set(owned.split())


def test_another_user_runs_a_stage_on_code_that_is_read_only(tmp_path: Path) -> None:
    root = tmp_path / "alignloop"
    subprocess.run(["git", "clone", "-q", PROJECT, root], check=True)
    before = {each.name for each in root.iterdir()}
    script = (
        "from pathlib import Path\nfrom alignloop.pipeline.overrides import override\n"
        "override(Path('params.yaml'), Path('tests/tiny.yaml'))\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True)

    def stage() -> str:
        for name in CODE:
            read_only(root / name)
        repro = f'eval "$({sys.executable} -m alignloop.pipeline.environment)"; dvc repro ingest'
        command = ["unshare", "--map-user=10001", "--", "sh", "-c", repro]
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        env["DVC_SITE_CACHE_DIR"] = str(root / ".dvc" / "tmp" / "site")  # as in the image, with its own .venv
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
        return f"{done.returncode} {done.stdout[-2000:]} {done.stderr[-2000:]}"

    told = told_by(stage)
    if "unshare" in told:
        pytest.skip("no user name spaces here")
    assert told.startswith("0 "), told
    assert (root / "data" / "raw").is_dir()
    made = {each.name for each in root.iterdir()} - before
    assert made <= {name.partition("/")[0] for name in volumes() | TEMPORARY}
    assert (root / "mlruns" / "mlflow.db").exists()
