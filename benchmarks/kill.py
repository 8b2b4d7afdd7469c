"""Cost of `kill -9`: a loop killed at random moments of all stages, compared with an undisturbed run.

python -m benchmarks.kill --kills 30

Both run in clones of their own, with the changes to params.yaml in benchmarks/kill.yaml. Each stage is
killed equally often. A kill is SIGKILL to the run's process group and to every process that works in the
clone, at a random moment of a stage (within the seconds that the undisturbed run took for it) or, where the
stage ends earlier, just after its end, while DVC records it; then the same command starts again. At the end
the hash of every out and every point of every curve in MLflow are compared. Prints a Markdown table; exits
with 1 if anything differs.
"""

import argparse
import fcntl
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from alignloop.pipeline import environment
from alignloop.progress import RESUMES
from benchmarks import worktree
from benchmarks.worktree import PROJECT

REPRO = '"$0" -m alignloop.pipeline.dvc_pipeline && exec "$0" -m dvc repro'
# as in the Makefile
RUNNERS = {
    "flow": [sys.executable, "-m", "flows.pipeline"],
    "dvc": ["sh", "-c", REPRO, sys.executable],
}
WRITE = (
    "import sys; from pathlib import Path; from alignloop.pipeline.overrides import override; "
    "override(Path('params.yaml'), Path(sys.argv[1]))"
)


class Kill(NamedTuple):
    """One kill: the target stage, the stage that was hit, seconds since the start, and the log's size."""

    target: str
    hit: str
    seconds: float
    size: int


class Clone:
    """A clone of this working tree with its own configuration, and the command that runs it."""

    def __init__(self, root: Path, runner: str) -> None:
        self.root, self.log = root, root.with_suffix(".log")
        self.command = RUNNERS[runner]
        ours = {
            name: value.replace(str(PROJECT), str(root)) for name, value in environment.configure().items()
        }
        self.environment = worktree.surroundings() | ours

    def create(self, configuration: Path) -> None:
        """Create the clone, replacing an old one."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        worktree.copy(self.root)
        (self.root / ".dvc" / "config.local").write_text(
            f"[core]\n    site_cache_dir = {self.root}/.dvc/tmp/site\n"
        )
        self._do(sys.executable, "-c", WRITE, str(configuration.resolve()))
        for words in (
            ["init", "-q"],
            ["add", "-A"],
            ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "start"],
        ):
            self._do("git", *words)

    def _do(self, *command: str) -> None:
        subprocess.run(command, cwd=self.root, env=self.environment, check=True)

    def start(self) -> subprocess.Popen[bytes]:
        """Start or resume the run; the command is the same."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command,
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def at_work(self) -> str:
        """The stage that a running process works on, by the stage's lock."""
        for path in sorted((self.root / ".cache" / "working").glob("*")):
            with path.open() as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return path.name
        return ""

    def kill(self, run: subprocess.Popen[bytes]) -> None:
        """Send SIGKILL to the run's process group and to every process that works in the clone."""
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        while alive := [place for place in Path("/proc").glob("[0-9]*") if _is_of(place, self.root)]:
            for place in alive:
                with suppress(ProcessLookupError):
                    os.kill(int(place.name), signal.SIGKILL)
            time.sleep(0.05)
        while self.at_work():  # the kernel releases a dead process's locks with a delay
            time.sleep(0.05)

    def outs(self) -> dict[str, str]:
        """The hash of every out, metrics and plots among them."""
        stages = yaml.safe_load((self.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}

    def query(self, query: str) -> list[Any]:
        """The rows of a query of MLflow's database."""
        with sqlite3.connect(self.root / environment.MLFLOW_DATABASE) as store:
            return store.execute(query).fetchall()

    def points(self) -> list[tuple[str, str, int, float]]:
        """Every point of every run's curves; a missing or a double point shows."""
        points = self.query(
            "select r.name, m.key, m.step, m.value from metrics m join runs r using (run_uuid)"
        )
        return sorted(point for point in points if not point[1].startswith("system/"))

    def seconds(self) -> dict[str, float]:
        """How long each stage took, by its name in DVC."""
        took = self.query(
            "select name, end_time - start_time from runs join tags using (run_uuid) where key = 'stage' "
            "order by start_time"
        )
        return {name.replace(" · ", "@"): milliseconds / 1000 for name, milliseconds in took}


def _is_of(place: Path, root: Path) -> bool:
    try:
        alive = (place / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        return alive and (
            f"PREFECT_HOME={root}/".encode() in (place / "environ").read_bytes()
            or (place / "cwd").resolve() == root
        )
    except OSError:
        return False


def whole(clone: Clone) -> float:
    """Run to the end and return the seconds."""
    began = time.monotonic()
    if code := clone.start().wait():
        raise SystemExit(f"the run in {clone.root} ended with {code}: {clone.log}")
    return time.monotonic() - began


def killed(clone: Clone, stages: Sequence[str], after: float) -> tuple[str, float] | None:
    """Start a run and kill it in the first of `stages` or a later one, after some seconds or at its end.

    Returns the stage that was hit and the seconds since the start; None if the run ended before.
    """
    run, began = clone.start(), time.monotonic()
    met, name = 0.0, ""
    while run.poll() is None:
        now, at = time.monotonic(), clone.at_work()
        if not met and at in stages:
            met, name = now, at
        if met and (at != name or now - met >= after):
            clone.kill(run)
            return name if at == name else f"{name}, at its end", now - began
        time.sleep(0.01)
    if run.returncode:
        raise SystemExit(f"the run in {clone.root} ended with {run.returncode}: {clone.log}")
    return None


def resumed(log: str, stage: str) -> str:
    """The step from which the stage was resumed, by the log."""
    found = re.search(rf"{stage.replace('@', ' · ')}  {RESUMES} ([\d,]*\d)", log)
    return found[1] if found else "its beginning"


def digest(outs: dict[str, str]) -> str:
    """One hash of all outs."""
    return blake2b(json.dumps(outs, sort_keys=True).encode(), digest_size=8).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument(
        "--with",
        dest="configuration",
        type=Path,
        default=PROJECT / "benchmarks" / "kill.yaml",
        help="what to change in params.yaml",
    )
    parser.add_argument("--runner", choices=list(RUNNERS), default="flow", help="how the loop is run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work",
        type=Path,
        help="a folder for the clones, which is kept; an interrupted benchmark resumes in it",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        undisturbed, disturbed = (Clone(work / name, arguments.runner) for name in ("undisturbed", "killed"))
        if not (undisturbed.root / "metrics" / "release.json").exists():
            undisturbed.create(arguments.configuration)
            print(f"undisturbed: {whole(undisturbed):.0f} s", flush=True)
        known = work / "kills.json"  # so that an interrupted benchmark can be resumed
        rows: list[Kill] = [Kill(*row) for row in json.loads(known.read_text())] if known.exists() else []
        if not rows:
            disturbed.create(arguments.configuration)
        began = time.monotonic()
        took, draw = undisturbed.seconds(), random.Random(arguments.seed)
        times, rest = divmod(arguments.kills, len(took))
        names = [*took]
        targets = sorted(names * times + draw.sample(names, rest), key=names.index)
        for target in (Counter(targets) - Counter(row.target for row in rows)).elements():
            if hit := killed(disturbed, names[names.index(target) :], draw.uniform(0, took[target])):
                rows.append(Kill(target, *hit, disturbed.log.stat().st_size))
                known.write_text(json.dumps(rows))
                print(f"{len(rows)}: killed {rows[-1].hit} after {rows[-1].seconds:.1f} s", flush=True)
            else:
                print(f"{target}: the run had ended", flush=True)
        whole(disturbed)
        log = disturbed.log.read_bytes()
        ends = [row.size for row in rows[1:]] + [len(log)]
        outs, theirs = undisturbed.outs(), disturbed.outs()
        recorded = yaml.safe_load((disturbed.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
        print(
            "\n| | stage killed | seconds after the start | resumed after step | its outs equal "
            "|\n|---|---|---|---|---|"
        )
        for number, (row, end) in enumerate(zip(rows, ends, strict=True), 1):
            stage = row.hit.partition(",")[0]
            equal = all(outs.get(out["path"]) == out["md5"] for out in recorded[stage]["outs"])
            after = resumed(log[row.size : end].decode(errors="replace"), stage)
            print(f"| {number} | {row.hit} | {row.seconds:.1f} | {after} | {'yes' if equal else 'NO'} |")
        same, curves = outs == theirs, undisturbed.points() == disturbed.points()
        print(
            f"\n{len(rows)} kills, the last of them in {(time.monotonic() - began) / 60:.0f} minutes; ",
            end="",
        )
        print(
            f"outs: {len(outs)}, {'all equal' if same else 'DIFFERENT'} ({digest(outs)}, {digest(theirs)}); ",
            end="",
        )
        runs = disturbed.query("select name, count(*) from runs group by name having count(*) > 1")
        print(
            f"points in MLflow: {len(undisturbed.points()):,}, "
            f"{'all equal, none missing, none twice' if curves else 'DIFFERENT'}; ",
            end="",
        )
        print(f"stages with more than one run in MLflow: {', '.join(name for name, _ in runs) or 'none'}")
        return 0 if same and curves else 1


if __name__ == "__main__":
    sys.exit(main())
