"""`gc` removes unused objects, but none that a branch, tag, dvc.lock or registered model's lineage needs."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.commands import gc
from alignloop.pipeline.checkout_lock import PipelineBusyError, lock_checkout
from alignloop.pipeline.dvc_pipeline import Pipeline
from alignloop.tracking import registry

PIPELINE = """
stages:
  raw: {cmd: mkdir -p data/raw && cp source.txt data/raw/a.txt, deps: [source.txt], outs: [data/raw]}
  train: {cmd: mkdir -p models/m && rev data/raw/a.txt > models/m/w.txt, deps: [data/raw], outs: [models/m]}
"""


def shell(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
    subprocess.run(argv, cwd=cwd, env=env, check=True)


def git(*words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True, capture_output=True
    )


def run_pipeline(root: Path, text: str) -> dict[str, str]:
    """Run the pipeline on these bytes; return the hashes of its outputs."""
    (root / "source.txt").write_text(f"{text}\n")
    pipeline = Pipeline(root)
    for name in ("raw", "train"):
        pipeline.bring_up_to_date(name, shell)
    return {path: pipeline.hash_of(root / path) for path in ("data/raw", "models/m")}


def test_objects_of_a_tag_a_model_or_dvc_lock_stay_and_the_rest_is_removed_with_yes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "dvc.yaml").write_text(PIPELINE)
    tagged = run_pipeline(project, "abc")
    git("add", "dvc.lock", "dvc.yaml")
    git("commit", "-qm", "a run")
    git("tag", "data-1")
    registered = run_pipeline(project, "bcd")
    with tracking.run(project, "raw") as run:
        run.finish({"data/raw": registered["data/raw"]})
    with tracking.run(project, "train", inputs={"data/raw": registered["data/raw"]}) as run:
        run.finish({"models/m": registered["models/m"]})
    registry.register(
        project, "m", "models/m", registered["models/m"], run=run.id, description="", parents={}, tags={}
    )
    dropped = run_pipeline(project, "cde")
    with tracking.run(project, "train", inputs={"data/raw": dropped["data/raw"]}) as run:
        run.finish({"models/m": dropped["models/m"]})
    now = run_pipeline(project, "def")

    before = Pipeline(project).stored()
    assert len(before) == 4 * 4, "four runs of two folders with a file each"
    unused = gc.find_unused(project)
    assert {hash for hash in unused.objects if hash.endswith(".dir")} == set(dropped.values())
    assert len(unused.objects) == 4
    with lock_checkout(project, "a run"), pytest.raises(PipelineBusyError, match=r"a run \(process"):
        gc.command(["--yes"])
    assert gc.command([]) == 0
    output = capsys.readouterr().out
    assert f"models/m  {dropped['models/m']}" in output
    assert "made by train, commit" in output
    assert output.endswith("nothing was removed; `python -m alignloop gc --yes` removes it\n")
    assert Pipeline(project).stored() == before

    assert gc.command(["--yes"]) == 0
    assert set(Pipeline(project).stored()) == set(before) - set(unused.objects)
    assert {*tagged.values(), *registered.values(), *now.values()} <= set(Pipeline(project).stored())
    assert gc.command([]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("nothing to free")
    assert run_pipeline(project, "abc") == tagged, "the tagged run comes back from the cache"


def test_a_folder_with_a_broken_list_stops_everything(project: Path) -> None:
    (project / "dvc.yaml").write_text(PIPELINE)
    hashes = run_pipeline(project, "abc")
    place = Pipeline(project).stored()[hashes["models/m"]]
    place.chmod(0o644)
    place.write_text("[{")
    with pytest.raises(gc.GcError, match=r"not a folder's list of files .*what it needs is unknown"):
        gc.command(["--yes"])


def test_bytes_are_shown_with_a_unit() -> None:
    assert [gc.format_size(bytes) for bytes in (999, 1200, 3_400_000, 5.6e9, 7e12)] == [
        "999 B",
        "1.2 kB",
        "3.4 MB",
        "5.6 GB",
        "7000.0 GB",
    ]
