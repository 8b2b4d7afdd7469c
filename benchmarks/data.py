"""Cost of the data stages by the size of the data: `python -m benchmarks.data --sizes 10000 100000 1000000`.

For each size N, N prompts, N rankings of K = 4 responses to them, and N / 100 demonstrations and documents
are drawn. The commands of `ingest`, `validate_raw`, `prepare` and `validate_sets` in dvc.yaml run on them
unchanged, with the values of params.yaml and configs/files.yaml, one at a time on two cores, with their
workers, MLflow, and the hashing of all inputs and outputs. Wall time, CPU time and peak memory of each are
written to `results.json` and a picture. Results in `results.json` are not measured again: an interrupted
run resumes with the next stage.

Lengths are log-normal: prompts have 40 words in the median (66 in the mean), responses 45 (57); a third of
the prompts have two user turns. Words are artificial, of 1 to 4 syllables, and drawn by Zipf's law. 1 % of
the prompts repeat another one, 1 % contain personal data, and a user writes 20 of them on average.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from alignloop.pipeline.stage_files import entries

PROJECT = Path(__file__).parents[1]
STAGES = ("ingest", "validate_raw", "prepare", "validate_sets")
CORES = 2
LOOK_SECONDS = 0.5
K = 4
DRAWN = 10_000  # prompts at a time
CONTACTS = (
    "Write to anna.{}@example.org.",
    "Call +44 20 7946 0{:03d}.",
    "My card is 4111 1111 1111 1111, number {}.",
)
Row = dict[str, Any]


class Text:
    """Artificial words, drawn in bulk."""

    def __init__(self, rng: np.random.Generator, words: int = 20_000) -> None:
        syllables = [first + vowel for first in "bdfghklmnprstvz" for vowel in "aeiou"]
        made = dict.fromkeys("".join(rng.choice(syllables, size)) for size in rng.integers(1, 5, 2 * words))
        self._words = np.array(list(made)[:words], dtype=object)
        share = 1 / (np.arange(len(self._words)) + 2.7)
        self._upto, self._rng = np.cumsum(share / share.sum()), rng

    def draw(self, count: int, median: float, spread: float) -> Iterator[str]:
        """Draw texts of log-normal lengths in words."""
        lengths = np.clip(self._rng.lognormal(np.log(median), spread, count), 3, 1500).astype(int)
        drawn = self._words[np.searchsorted(self._upto[:-1], self._rng.random(lengths.sum()))]
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            yield " ".join(drawn[end - length : end]).capitalize() + "."


def prompts(text: Text, rng: np.random.Generator, count: int, users: int, name: str) -> list[Row]:
    """Prompts in the project's own format."""
    first, responses = text.draw(count, 40, 1.0), text.draw(count, 45, 0.7)
    later = text.draw(count, 15, 0.7)
    rows: list[Row] = []
    for number, (question, response, again) in enumerate(zip(first, responses, later, strict=True)):
        chance, user = rng.random(2)
        question = (
            question
            if chance > 0.01
            else f"{question} {CONTACTS[number % len(CONTACTS)].format(number % 1000)}"
        )
        talk = (
            [("user", question)]
            if chance < 0.67
            else [("user", question), ("assistant", response), ("user", again)]
        )
        messages = [{"role": role, "content": content} for role, content in talk]
        if 0.01 < chance < 0.02 and rows:
            messages = rows[-1]["messages"]
        about = {
            "user": f"user-{int(user * users)}",
            "category": "other",
            "time": "2026-01-05T08:00:00Z",
            "source": "drawn",
        }
        rows.append({"id": f"{name}-{number}", "messages": messages, **about})
    return rows


def draw(size: int, sources: Path, seed: int) -> None:
    """Write the source files of a size."""
    sources.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    text = Text(rng)
    few, users = max(200, size // 100), max(50, size // 20)
    with (sources / "prompts.jsonl").open("w") as listed, (sources / "rankings.jsonl").open("w") as ranked:
        for start in range(0, size, DRAWN):
            batch = prompts(text, rng, min(DRAWN, size - start), users, f"p{start}")
            answers = text.draw(len(batch) * K, 45, 0.7)
            listed.writelines(json.dumps(prompt) + "\n" for prompt in batch)
            for prompt in batch:
                responses = {
                    "responses": [next(answers) for _ in range(K)],
                    "ranks": [int(each) + 1 for each in rng.permutation(K)],
                }
                by = {
                    "labeler": f"labeler-{rng.integers(40):02d}",
                    "kind": "person",
                    "policy": "drawn",
                    "round": "imported",
                }
                ranked.write(
                    json.dumps({"id": f"r-{prompt['id']}", "prompt": prompt, **responses, **by}) + "\n"
                )
    written = zip(prompts(text, rng, few, users, "d"), text.draw(few, 45, 0.7), strict=True)
    shown = (
        {
            **prompt,
            "labeler": "labeler-00",
            "messages": [*prompt["messages"], {"role": "assistant", "content": answer}],
        }
        for prompt, answer in written
    )
    _write(sources / "demonstrations.jsonl", shown)
    _write(
        sources / "documents.jsonl",
        ({"id": f"t{n}", "text": each, "source": "drawn"} for n, each in enumerate(text.draw(few, 200, 0.7))),
    )


def _write(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def project(root: Path, seed: int) -> None:
    """Make an empty project with this project's pipeline."""
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    shutil.copy(PROJECT / "dvc.yaml", root)
    (root / "data").mkdir()
    shutil.copy(PROJECT / "data" / "forgotten.txt", root / "data")
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    files = yaml.safe_load((PROJECT / "configs" / "files.yaml").read_text())
    params |= {key: params[key] | files[key] for key in ("ingest", "validate", "prepare")}
    params["seed"], params["validate"]["max_characters"] = seed, 20_000
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "start"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True)


def measure(root: Path, stage: str) -> Row:
    """Run a stage's command from dvc.yaml; returns wall and CPU seconds and peak memory in MiB."""
    command = shlex.split(next(entry.command for entry in entries(root) if entry.name == stage))
    began = time.monotonic()
    env = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": str(CORES)}
    child = subprocess.Popen([sys.executable, *command[1:]], cwd=root, env=env, process_group=0)
    held = 0
    while not (ended := os.wait4(child.pid, os.WNOHANG))[0]:
        held = max(held, sum(map(_held, _group(child.pid))))
        time.sleep(LOOK_SECONDS)
    _, status, used = ended
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{stage} ended with {child.returncode} in {root}")
    seconds = {"wall": time.monotonic() - began, "cpu": used.ru_utime + used.ru_stime}
    return {"stage": stage, **{name: round(value, 1) for name, value in seconds.items()}, "mib": held // 1024}


def _group(leader: int) -> Iterator[Path]:
    """The processes of a process group."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((process / "stat").read_text().rpartition(")")[2].split()[2]) == leader:
                yield process


def _held(process: Path) -> int:
    """The memory of a process in KiB, with its part of shared memory."""
    with suppress(OSError):
        return next(
            (
                int(line.split()[1])
                for line in (process / "smaps_rollup").read_text().splitlines()
                if line.startswith("Pss:")
            ),
            0,
        )
    return 0


def picture(results: list[Row], file: Path) -> None:
    """CPU time and memory by size, on logarithmic scales, with a proportional line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = sorted({row["size"] for row in results})
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for stage in STAGES:
        rows = {row["size"]: row for row in results if row["stage"] == stage}
        left.plot(sizes, [rows[size]["cpu"] for size in sizes], "o-", label=stage)
        right.plot(sizes, [rows[size]["mib"] / 1024 for size in sizes], "o-", label=stage)
    whole = [sum(row["cpu"] for row in results if row["size"] == size) for size in sizes]
    left.plot(sizes, whole, "ko-", label="all")
    left.plot(
        sizes, [whole[-1] * size / sizes[-1] for size in sizes], "k:", label="in proportion to the largest"
    )
    left.set(xscale="log", yscale="log", xlabel="rankings, and as many prompts", ylabel="CPU seconds")
    right.set(
        xscale="log",
        xlabel="rankings, and as many prompts",
        ylabel="peak memory of all processes (GiB)",
        ylim=(0, None),
    )
    left.legend()
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(".cache/benchmarks/data"),
        help="a folder for the projects, results.json and data.png",
    )
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    file = arguments.out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else []
    for size in arguments.sizes:
        root = arguments.out.resolve() / str(size)
        left = [
            stage
            for stage in STAGES
            if not any((row["size"], row["stage"]) == (size, stage) for row in results)
        ]
        if len(left) == len(STAGES) and not (root / "drawn").exists():
            shutil.rmtree(root, ignore_errors=True)
            project(root, arguments.seed)
            draw(size, root / "data" / "sources", arguments.seed)
            (root / "drawn").touch()
        for stage in left:
            results.append({"size": size, **measure(root, stage)})
            print(json.dumps(results[-1]), flush=True)
            file.write_text(json.dumps(results, indent=1))
        shutil.rmtree(root, ignore_errors=True)
    picture(results, arguments.out / "data.png")


if __name__ == "__main__":
    main()
