"""Running stages through DVC: the same lock file as `dvc repro` after any interruption, and clear errors."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alignloop import phases
from alignloop.errors import AlignloopError
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.checkout_lock import PipelineBusyError
from alignloop.pipeline.dvc_errors import VersioningError
from alignloop.pipeline.dvc_pipeline import Pipeline

PROJECT = Path(__file__).parents[2]
DVC = (sys.executable, "-m", "dvc")
PIPELINE = """
stages:
  raw:
    cmd: mkdir -p data/raw && cp source.txt data/raw/a.txt && cp source.txt data/raw/b.txt
    deps: [source.txt]
    outs: [data/raw]
  count:
    cmd: wc -c < data/raw/a.txt > count.txt && echo '{"bytes":' $(cat count.txt)'}' > count.json
    deps: [data/raw]
    params: [times]
    outs: [count.txt]
    metrics:
      - count.json: {cache: false}
  report:
    foreach: ${rounds}
    do:
      cmd: cat count.txt > ${key}.csv && echo ${item.word} >> ${key}.csv
      deps: [count.txt]
      plots:
        - ${key}.csv
"""
NAMES = ["raw", "count", "report@r1", "report@r2"]


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    def project(name: str) -> Path:
        root = tmp_path / name
        root.mkdir()
        run("git", "init", "-q", cwd=root)
        (root / ".dvc").mkdir()
        (root / ".dvc" / "config").touch()
        (root / ".dvc" / ".gitignore").write_text("/tmp\n/cache\n")
        (root / "dvc.yaml").write_text(PIPELINE)
        (root / "params.yaml").write_text(
            "times: 2 # a comment\nrounds: {r1: {word: one}, r2: {word: two}}\n"
        )
        (root / "source.txt").write_text("bytes\n")
        return root

    return project


def shell(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
    if code := subprocess.run(argv, cwd=cwd, env=env).returncode:
        raise AlignloopError(f"exit {code}")


def everything(root: Path) -> list[str]:
    pipeline = Pipeline(root)
    return [pipeline.bring_up_to_date(name, shell) for name in pipeline.stages()]


def test_the_lock_file_has_the_bytes_that_dvc_repro_gives_it(make: Callable[[str], Path]) -> None:
    ours, theirs = make("ours"), make("theirs")
    assert everything(ours) == ["ran"] * 4
    run(*DVC, "repro", cwd=theirs)
    assert (ours / "dvc.lock").read_bytes() == (theirs / "dvc.lock").read_bytes()
    assert run("git", "status", "--porcelain", "-uall", cwd=ours) == run(
        "git", "status", "--porcelain", "-uall", cwd=theirs
    )
    assert "up to date" in run(*DVC, "status", cwd=ours)
    assert everything(ours) == everything(theirs) == ["unchanged"] * 4


def test_after_a_change_only_what_depends_on_it_runs_and_old_results_come_from_the_cache(
    make: Callable[[str], Path],
) -> None:
    root = make("project")
    everything(root)
    (root / "params.yaml").write_text("times: 2\nrounds: {r1: {word: one}, r2: {word: deux}}\n")
    assert Pipeline(root).outdated() == ["report@r2"]
    assert everything(root) == ["unchanged", "unchanged", "unchanged", "ran"]
    (root / "params.yaml").write_text("times: 2\nrounds: {r1: {word: one}, r2: {word: two}}\n")
    assert everything(root) == ["unchanged", "unchanged", "unchanged", "restored"]
    assert (root / "r2.csv").read_text().endswith("two\n")
    assert Pipeline(root).bring_up_to_date("report@r1", shell, force=True) == "ran"


def test_stages_are_listed_with_their_rounds_and_files(make: Callable[[str], Path]) -> None:
    stages = Pipeline(make("project")).stages()
    assert list(stages) == NAMES
    assert stages["report@r2"].group, stages["report@r2"].round == ("report", "r2")
    assert stages["report@r2"].round == "r2"
    count = stages["count"]
    assert (count.deps, count.outs, count.metrics, count.params) == (
        ("data/raw",),
        ("count.txt",),
        ("count.json",),
        ("times",),
    )


def test_downstream_of_a_stage_or_group_is_what_uses_it(make: Callable[[str], Path]) -> None:
    pipeline = Pipeline(make("project"))
    assert pipeline.downstream("count") == {"count", "report@r1", "report@r2"}
    assert pipeline.downstream("report") == {"report@r1", "report@r2"}
    assert pipeline.downstream("nothing") == set()


def test_what_was_made_goes_to_the_default_remote_before_anything_names_it(
    make: Callable[[str], Path], tmp_path: Path
) -> None:
    root = make("project")
    everything(root)
    assert Pipeline(root).remote() is None
    run(*DVC, "remote", "add", "--default", "storage", str(tmp_path / "remote"), cwd=root)
    pipeline = Pipeline(root)
    assert pipeline.remote() == f"storage ({tmp_path / 'remote'})"
    sent = list(pipeline.push())
    assert sent[-1][0] == sent[-1][1] > 0
    assert sorted(done for done, _ in sent) == [done for done, _ in sent]
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(root / "data")
    run(*DVC, "pull", cwd=root)
    assert everything(root) == ["unchanged"] * 4
    (tmp_path / "blocked").touch()
    run(*DVC, "remote", "modify", "storage", "url", str(tmp_path / "blocked" / "inner"), cwd=root)
    with pytest.raises(VersioningError, match=r"remote storage .*blocked/inner.*run again: nothing was lost"):
        list(Pipeline(root).push())


def test_hashes_are_those_in_the_lock_file(make: Callable[[str], Path]) -> None:
    root = make("project")
    everything(root)
    lock = (root / "dvc.lock").read_text()
    assert dvc_pipeline.hash_of(root / "data/raw", root).endswith(".dir")
    for path in ("data/raw", "count.txt", "count.json", "source.txt"):
        assert f"md5: {dvc_pipeline.hash_of(root / path, root)}" in lock
    with pytest.raises(VersioningError, match=r"nowhere\.txt: does not exist"):
        dvc_pipeline.hash_of(root / "nowhere.txt", root)


def test_a_stage_that_fails_raises_its_own_error_and_the_same_call_continues(
    make: Callable[[str], Path],
) -> None:
    root = make("project")

    def broken(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        (root / "count.txt").write_text("half")
        raise AlignloopError("count: line 3 is broken")

    pipeline = Pipeline(root)
    pipeline.bring_up_to_date("raw", shell)
    with pytest.raises(AlignloopError, match=r"^count: line 3 is broken$"):
        pipeline.bring_up_to_date("count", broken)
    with pytest.raises(KeyboardInterrupt):
        pipeline.bring_up_to_date("count", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert everything(root) == ["unchanged", "ran", "ran", "ran"]
    assert json.loads((root / "count.json").read_text()) == {"bytes": 6}


def test_a_command_may_ask_dvc_for_hashes_while_it_runs(make: Callable[[str], Path]) -> None:
    root, told = make("project"), []

    def asking(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        code = (
            "from pathlib import Path; from alignloop.pipeline.dvc_pipeline import hash_of; "
            "print(hash_of(Path('source.txt')))"
        )
        told.append(run("env", f"PYTHONPATH={PROJECT}", sys.executable, "-c", code, cwd=cwd).strip())
        shell(argv, cwd, env)

    assert Pipeline(root).bring_up_to_date("raw", asking) == "ran"
    assert told == [dvc_pipeline.hash_of(root / "source.txt", root)]


def test_two_runs_of_one_stage_are_kept_apart(make: Callable[[str], Path]) -> None:
    root, seen = make("project"), []

    def twice(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        second = subprocess.run((*DVC, "repro", "-s", "raw"), cwd=root, capture_output=True, text=True)
        seen.append(second.stderr)
        shell(argv, cwd, env)

    Pipeline(root).bring_up_to_date("raw", twice)
    assert "busy" in seen[0]
    holder = (
        "import sys; from dvc.repo import Repo; r = Repo(); r.lock.lock(); print('held', flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", holder), cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(PipelineBusyError, match="another run of this pipeline is at work"):
            Pipeline(root).bring_up_to_date("raw", shell)
        other.communicate()


def test_what_is_missing_is_named(make: Callable[[str], Path], tmp_path: Path) -> None:
    root = make("project")
    with pytest.raises(VersioningError, match=r"count: data/raw does not exist; run the stages before"):
        Pipeline(root).bring_up_to_date("count", shell)
    with pytest.raises(VersioningError, match=r"raw: DVC: output 'data/raw' does not exist"):
        Pipeline(root).bring_up_to_date("raw", lambda *_: None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VersioningError, match="no DVC project here"):
        Pipeline(tmp_path / "empty")
    (root / ".git").rename(tmp_path / "git")
    with pytest.raises(VersioningError, match="no git repository here"):
        Pipeline(root)


def test_a_full_disk_is_called_by_its_name(make: Callable[[str], Path]) -> None:
    root = make("project")

    def full(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        raise OSError(28, os.strerror(28))

    with pytest.raises(VersioningError, match=r"raw: no disk space left under .*; free some"):
        Pipeline(root).bring_up_to_date("raw", full)
    assert everything(root) == ["ran"] * 4


def test_hashing_and_copying_are_phases_that_count_bytes(
    make: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make("project")
    source = root / "source.txt"
    source.write_bytes(b"0123456789" * 300_000)
    seen: dict[str, list[tuple[int, int | None]]] = {}
    opened = phases.phase

    @contextmanager
    def remembered(name: str, *arguments: Any, **options: Any) -> Iterator[phases.Phase]:
        with opened(name, *arguments, **options) as each:
            yield each
        seen.setdefault(each.title, []).append((each.done, each.total))

    monkeypatch.setattr(phases, "phase", remembered)
    assert Pipeline(root).bring_up_to_date("raw", shell) == "ran"
    size = 3_000_000
    assert (size, size) in seen["hashing source.txt"], "read once"
    assert (2 * size, 2 * size) in seen["hashing data/raw"]
    [(copied, total)] = seen["keeping in DVC's cache data/raw"]
    assert total == 2 * size
    assert copied <= total, "equal files are kept once, and by a link where the disk has such"
