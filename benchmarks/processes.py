"""The loop on one, two and three processes, with whole and sharded models: what differs from one process.

python -m benchmarks.processes

Every way runs the loop of tests/tiny.yaml (one round, four steps of PPO) from the same data, by the commands
of dvc.yaml, in a clone of its own. One is run twice, three are killed (`kill -9` to the process group) in the
middle of PPO and started again, one of them as one process (`compute.elastic`). Prints a Markdown
table: the digest of the last policy, the greatest difference of its weights and of a response's score from
those of one process, and whether all responses are the same. Exits with 1 where the same processes give other
bytes.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file

from alignloop.pipeline.overrides import override
from alignloop.pipeline.stage_files import Entry, entries
from benchmarks import worktree

DATA = ["ingest", "validate_raw", "prepare", "validate_sets"]
LOOP = ["pretrain", "sft", "sample", "label", "validate_rankings", "reward", "ppo", "evaluate"]
POLICY = Path("models", "r1", "policy", "model.safetensors")
RESPONSES = {  # what was drawn, and by which key
    "data/samples/r1.jsonl": "responses",
    "data/policy/r1/rollouts.jsonl": "response",
    "data/evaluation/r1/responses.jsonl": "response",
}


class Way(NamedTuple):
    """A number of processes, how models are sharded, and what happens in the middle of PPO."""

    processes: int
    shard: str
    event: str = ""


ONE = Way(1, "none")
KILLED, ELASTIC = "killed and resumed", "killed, then one process"
WAYS = [
    ONE,
    Way(2, "none"),
    Way(2, "none", "again"),
    Way(2, "none", KILLED),
    Way(2, "none", ELASTIC),
    Way(3, "none"),
    Way(2, "full"),
    Way(2, "full", KILLED),
    Way(3, "full"),
]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="a new folder that stays; a temporary one by default")
    work = parser.parse_args().work or Path(tempfile.mkdtemp())
    data = _prepared(work / "data")
    print(
        "| processes | shard | in the middle of PPO | policy | max Δ weight | max Δ score | same responses |"
    )
    print("|---:|---|---|---|---:|---:|---|")
    digests: dict[Way, str] = {}
    for number, way in enumerate(WAYS):
        root = work / str(number)
        shutil.copytree(data, root, symlinks=True)
        _run_way(root, way)
        digests[way] = hashlib.sha256((root / POLICY).read_bytes()).hexdigest()[:12]
        weights, scores, same = _compared(root, work / "0")
        cells = [str(way.processes), way.shard, way.event or "–", f"`{digests[way]}`"]
        print(f"| {' | '.join(cells)} | {weights:.1e} | {scores:.1e} | {same} |", flush=True)
    wrong = [
        way
        for way in WAYS
        if way.event not in ("", ELASTIC) and digests[way] != digests[way._replace(event="")]
    ]
    print(f"other bytes: {wrong}" if wrong else "the same processes gave the same bytes, killed or not")
    return 1 if wrong else 0


def _prepared(root: Path) -> Path:
    """A clone with the data stages' outs."""
    worktree.copy(root)
    override(root / "params.yaml", root / "tests" / "tiny.yaml", {"ppo.steps": 4})
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "start"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    for stage in DATA:
        _end(_start(root, stage))
    return root


def _run_way(root: Path, way: Way) -> None:
    override(root / "params.yaml", changes={"compute.processes": way.processes, "compute.shard": way.shard})
    for stage in LOOP:
        if stage == "ppo" and way.event in (KILLED, ELASTIC):
            _kill_after_first_step(root, _start(root, stage))
            if way.event == ELASTIC:
                changes = {"compute.processes": 1, "compute.shard": "none", "compute.elastic": True}
                override(root / "params.yaml", changes=changes)
            said = _end(_start(root, stage))
            assert "resumes after step" in said, said
        else:
            _end(_start(root, stage))


def _start(root: Path, stage: str) -> subprocess.Popen[str]:
    [entry] = [entry for entry in entries(root) if entry.name == stage and entry.round in (None, "r1")]
    return subprocess.Popen(
        [sys.executable, *_words(entry)],
        cwd=root,
        env=worktree.surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _words(entry: Entry) -> list[str]:
    return entry.command.split()[1:]


def _end(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(said)
    return said


def _kill_after_first_step(root: Path, process: subprocess.Popen[str]) -> None:
    while not list(root.glob(".cache/checkpoints/ppo@r1/*/[0-9]*/state.json")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _compared(root: Path, other: Path) -> tuple[float, float, str]:
    """The greatest differences of a weight and of a score, and how many responses are the same."""
    mine, theirs = load_file(root / POLICY), load_file(other / POLICY)
    weights = max(float((mine[name] - theirs[name]).abs().max()) for name in theirs)
    same = count = 0
    scores = 0.0
    for file, key in RESPONSES.items():
        for ours, one in zip(_rows(root / file), _rows(other / file), strict=True):
            same, count = same + (ours[key] == one[key]), count + 1
            if "score" in one and ours[key] == one[key]:
                scores = max(scores, abs(ours["score"] - one["score"]))
    return weights, scores, "all" if same == count else f"{same} of {count}"


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    sys.exit(main())
