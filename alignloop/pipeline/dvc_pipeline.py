"""DVC: which stages there are, which are stale, running one, and the hash of any path.

A stage runs exactly as under `dvc repro`: DVC's own `reproduce` runs it, and only the function that starts
the command is replaced, so that the caller can read its output. `dvc.lock` has the same bytes either way.
"""

import errno
import json
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import dvc.stage.run
from dvc.dependency.base import DependencyDoesNotExistError
from dvc.exceptions import ReproductionError
from dvc.repo import Repo, lock_repo
from dvc.stage import PipelineStage
from dvc_data.hashfile.build import build

from alignloop.data.input_files import check_folder
from alignloop.errors import AlignloopError
from alignloop.pipeline import dvc_code_deps, dvc_phases
from alignloop.pipeline.code_hash import code_hash
from alignloop.pipeline.code_paths import is_code
from alignloop.pipeline.dvc_errors import VersioningError, as_alignloop_error
from alignloop.pipeline.dvc_repair import repair

dvc_code_deps.install()
dvc_phases.install()

logging.getLogger("dvc").setLevel(logging.WARNING)  # callers report what runs and what does not


class _WithoutEmptyFiles(logging.Filter):
    """Removes DVC's warning of an empty output: a set may be empty, and its stage says so."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().endswith("is empty.")


logging.getLogger("dvc.output").addFilter(_WithoutEmptyFiles())

Start = Callable[[Sequence[str], Path, Mapping[str, str]], None]
"""Runs a command (a shell's argv, ending with the command as dvc.yaml has it) in a directory and an
environment; raises if it fails.
"""
Done = Literal["ran", "restored", "unchanged"]


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml: `reward@r2` is of the group `reward` and the round `r2`; paths from the root."""

    name: str
    group: str
    round: str | None
    command: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    metrics: tuple[str, ...]
    params: tuple[str, ...]


class Pipeline:
    """The pipeline of the project in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        with self._at_work():
            self._repo: Any = Repo(str(self.root))  # DVC's own types are not checked
            assert self._repo.scm  # raises if there is no git repository
            repair(self._repo, self.root)
        self._unchanged: set[str] = set()
        self._stages: tuple[list[int], dict[str, Stage]] = ([], {})

    def stages(self) -> dict[str, Stage]:
        """All stages by name, in the order of dvc.yaml."""
        written = [
            path.stat().st_mtime_ns
            for path in (self.root / "dvc.yaml", self.root / "params.yaml")
            if path.exists()
        ]
        if written != self._stages[0]:
            with self._at_work(), lock_repo(self._repo):
                self._stages = written, {stage.name: _stage(stage) for stage in self._loaded()}
        return self._stages[1]

    def outdated(self) -> list[str]:
        """The stages that are stale now; until one of them has run, the others count as unchanged."""
        check_folder(self.root / "data" / "sources")
        with self._at_work(), lock_repo(self._repo):
            changed = {stage.name: stage.changed() for stage in self._loaded()}
        self._unchanged = {name for name in changed if not changed[name]}
        return [name for name in changed if changed[name]]

    def downstream(self, name: str) -> set[str]:
        """The names of a stage or group of stages, and of all that use what they make."""
        with self._at_work(), lock_repo(self._repo):
            graph = self._repo.index.graph
            reached = {
                stage for stage in self._loaded() if name in (stage.name, stage.name.partition("@")[0])
            }
            todo = list(reached)
            while todo:
                users = set(graph.predecessors(todo.pop())) - reached
                reached |= users
                todo += users
            return {stage.name for stage in reached}

    def bring_up_to_date(self, name: str, start: Start, force: bool = False) -> Done:
        """Do what `dvc repro --single-item name` does: nothing, restore the outs, or run the command."""
        if name in self._unchanged and not force:
            return "unchanged"
        self._unchanged, ran = set(), False

        def run(_: str | None, command: str, *, cwd: str, env: dict[str, str], **__: Any) -> None:
            nonlocal ran
            ran = True
            start(dvc.stage.run._make_cmd(dvc.stage.run.get_executable(), command), Path(cwd), env)

        with self._at_work(name), _commands_by(run):
            try:
                made = self._repo.reproduce(name, single_item=True, force=force)
            except ReproductionError as error:
                if isinstance(error.__cause__, FileNotFoundError | DependencyDoesNotExistError):
                    self._check_deps(name)
                raise
        if ran:
            return "ran"
        return "restored" if made else "unchanged"

    def _check_deps(self, name: str) -> None:
        for path in self.stages()[name].deps:
            if not (self.root / path).exists():
                raise VersioningError(f"{name}: {path} does not exist; run the stages before this one too")

    def remote(self) -> str | None:
        """The name and address of DVC's default remote, if there is one."""
        config = self._repo.config
        name = config["core"].get("remote")
        return f"{name} ({config['remote'][name]['url']})" if name else None

    def push(self) -> Iterator[tuple[int, int]]:
        """Copy the results in dvc.lock to the default remote; yield the bytes done, and the total."""
        sizes = {
            stage.name: sum(out.meta.size or 0 for out in stage.outs if out.use_cache)
            for stage in self._loaded()
        }
        done, total = 0, sum(sizes.values())
        for name in (name for name, size in sizes.items() if size):
            with self._at_work(name), self._reaching():
                self._repo.push(targets=[name])
            done += sizes[name]
            yield done, total

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn errors of a remote's own libraries into VersioningError."""
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            reason = next((line for line in str(error).splitlines() if line), type(error).__name__)
            raise VersioningError(
                f"remote {self.remote()}: {reason}; look whether it can be reached (`dvc status "
                "--cloud`) and run again: nothing was lost"
            ) from error

    def stored(self) -> dict[str, Path]:
        """Every object in DVC's cache: its hash, and the file that holds it."""
        cache = self._repo.cache.local
        return {hash: Path(cache.oid_to_path(hash)) for hash in cache.all()}

    def discard(self, hashes: Iterable[str]) -> None:
        """Remove objects from DVC's cache, folders before their files, so that no folder is incomplete."""
        with self._at_work(), lock_repo(self._repo):
            cache = self._repo.cache.local
            for hash in sorted(hashes, key=lambda hash: not hash.endswith(".dir")):
                Path(cache.oid_to_path(hash)).unlink(missing_ok=True)

    def hash_of(self, path: Path) -> str:
        """DVC's hash of a file or directory (".dir" at its end): of its bytes, or of its code."""
        if is_code(self._relative(path)) and path.exists():
            return code_hash(path)
        check_folder(path)
        with self._at_work():
            try:
                _, _, content = build(
                    self._repo.cache.local,
                    str(path.absolute()),
                    self._repo.fs,
                    "md5",
                    ignore=self._repo.dvcignore,
                    dry_run=True,
                )
            except FileNotFoundError:
                raise VersioningError(f"{path}: does not exist, so it has no hash") from None
            return str(content.hash_info.value)

    def _relative(self, path: Path) -> str:
        absolute = path.absolute()
        return absolute.relative_to(self.root).as_posix() if absolute.is_relative_to(self.root) else ""

    def place(self, hash: str) -> Path:
        """Where the cache keeps an object, which may be missing: forgotten, or not fetched yet."""
        return Path(self._repo.cache.local.oid_to_path(hash))

    def contents(self, hash: str) -> dict[str, str]:
        """The files of a version, path below it to object; a version that is one file has the path ""."""
        if not hash.endswith(".dir"):
            return {"": hash}
        if not self.place(hash).exists():
            raise VersioningError(
                f"{hash}: is not in DVC's cache: forgotten, or to be fetched with `dvc fetch --all-commits`"
            )
        return {
            item["relpath"]: item["md5"] for item in json.loads(self.place(hash).read_text(encoding="utf-8"))
        }

    def remotes(self) -> list[str]:
        """The names of the remotes of this project."""
        return list(self._repo.config["remote"])

    def erase(self, hashes: Collection[str], remote: str | None = None) -> int:
        """Remove objects for good, from a remote, or else from the cache. Returns how many were there."""
        with self._at_work():
            try:
                store = self._repo.cloud.get_remote_odb(remote) if remote else self._repo.cache.local
                there = [path for path in map(store.oid_to_path, hashes) if store.fs.exists(path)]
                for path in there:
                    store.fs.remove(path)
            except Exception as error:  # each kind of remote has errors of its own
                place = f"the remote {remote}" if remote else "DVC's cache"
                raise VersioningError(
                    f"{place}: cannot be cleared: {error}; make it reachable and give the same command again"
                ) from error
            return len(there)

    def _loaded(self) -> list[Any]:
        return [stage for stage in self._repo.index.stages if isinstance(stage, PipelineStage)]

    @contextmanager
    def _at_work(self, stage: str = "") -> Iterator[None]:
        """Run DVC in the project's folder, and turn its errors into AlignloopErrors."""
        try:
            with chdir(self.root):
                yield
        except Exception as error:
            raise as_alignloop_error(error, stage or str(self.root), self.root) from None


@contextmanager
def _commands_by(run: Callable[..., None]) -> Iterator[None]:
    """Let DVC start commands with `run`."""
    original, dvc.stage.run._run = dvc.stage.run._run, run
    try:
        yield
    finally:
        dvc.stage.run._run = original


def _stage(stage: Any) -> Stage:
    group, _, round = stage.name.partition("@")
    keys = [dep.params for dep in stage.params]
    return Stage(
        name=stage.name,
        group=group,
        round=round or None,
        command=str(stage.cmd),
        deps=tuple(dep.def_path for dep in stage.deps if dep not in stage.params),
        outs=tuple(out.def_path for out in stage.outs if not out.metric and not out.plot),
        metrics=tuple(out.def_path for out in stage.metrics),
        params=tuple(key for params in keys for key in params),
    )


@cache
def pipeline(root: Path) -> Pipeline:
    """The pipeline of the project in `root`, opened once."""
    return Pipeline(root)


def hash_of(path: Path, root: Path | None = None) -> str:
    """DVC's hash of a file or directory of the project in `root` (None: the working directory)."""
    return pipeline((root or Path.cwd()).resolve()).hash_of(path)


if __name__ == "__main__":  # before `dvc repro`: repairs what a killed one left
    try:
        pipeline(Path.cwd())
        check_folder(Path.cwd() / "data" / "sources")
    except AlignloopError as error:
        sys.exit(str(error))
