"""A stage on several processes is one process to whoever started it: output, exit status, signals, files."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from alignloop import tracking
from alignloop.params.compute import Compute
from alignloop.pipeline import processes
from alignloop.pipeline.launch import LaunchError, check_size, place_of, runs_a_model
from alignloop.pipeline.overrides import override

PACKAGE = Path(__file__).parents[2] / "alignloop"
TORCHRUN = "python -m torch.distributed.run --standalone --no-python --nproc-per-node"
SOON = (
    "import sys; from alignloop.pipeline import rank_watch; rank_watch.HANG_SECONDS = 3; "
    "from alignloop.__main__ import main; sys.exit(main())"
)
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def counting(project: Path) -> Path:
    """A project with its own copy of the package, in which the stage `sft` counts, on two processes."""
    shutil.copytree(PACKAGE, project / "alignloop")  # with what is compiled: each process would do it again
    shutil.copy(Path(__file__).with_name("counting_stage.py"), project / "alignloop" / "stages" / "sft.py")
    stage = {
        "cmd": "python -m alignloop sft --mode count --out out.txt",
        "params": ["seed", "threads", "compute.processes", "compute.shard"],
        "outs": ["out.txt"],
    }
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"sft": stage}}))
    override(project / "params.yaml", changes={"compute.processes": 2, "checkpoint_every.sft": 2})
    return project


@pytest.fixture
def start(counting: Path) -> Iterator[Start]:
    """Start the stage in a mode, in a process group of its own; what is left of it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(mode: str, hang_seconds_are_few: bool = False) -> subprocess.Popen[str]:
        program = ["-c", SOON] if hang_seconds_are_few else ["-m", "alignloop"]
        process = subprocess.Popen(
            [sys.executable, *program, "sft", "--mode", mode, "--out", "out.txt"],
            cwd=counting,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # a shell's background jobs ignore Ctrl-C, and so would what they start
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def left(root: Path) -> list[str]:
    """The command lines of rank processes of this project that still run."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended
            continue
        if f"alignloop rank {root}" in line:
            lines.append(line)
    return lines


def nothing_is_left(root: Path, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while (found := left(root)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not found
    assert not list((root / ".cache" / "ranks").glob("*"))


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    output, errors = process.communicate(timeout=120)
    return process.returncode, output.splitlines(), errors


def until_step(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout
    for line in process.stdout:
        if line == f"step {step}\n":
            return
    raise AssertionError(process.communicate())


def test_output_and_files_are_those_of_rank_0_and_an_interrupted_stage_resumes(counting: Path, start: Start):
    before = {path for path in counting.rglob("*") if ".cache" not in path.parts and ".git" not in path.parts}
    process = start("slowly")
    until_step(process, 5)
    os.kill(process.pid, signal.SIGKILL)  # the launcher alone: its ranks notice
    process.communicate()
    deadline = time.monotonic() + 20
    while left(counting) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left(counting)
    status, lines, errors = ended(start("slowly"))
    assert (status, errors) == (0, "")
    steps = [int(line.removeprefix("step ")) for line in lines if line.startswith("step ")]
    assert steps[0] in (5, 7), "after the checkpoint of step 4 or 6"
    assert steps == list(range(steps[0], 9)), "each step once: only rank 0 speaks"
    assert (counting / "out.txt").read_text() == "seed 1, total 244.0 of 2, lines 1 2 3 4 5 6 7 8\n"
    nothing_is_left(counting)
    new = {
        path for path in counting.rglob("*") if ".cache" not in path.parts and ".git" not in path.parts
    } - before
    assert {path.relative_to(counting).parts[0] for path in new} <= {".dvc", "out.txt", "mlruns", "alignloop"}
    assert [run.status for run in tracking.runs(counting)] == ["FINISHED"], "one run, continued"


@pytest.mark.parametrize(
    ("mode", "status", "said"),
    [
        ("refuses", 1, r"sft: data/x\.jsonl:3: broken; mend it\n"),
        ("breaks", 1, r"sft: Traceback \(most recent call last\):\n(.*\n)+ZeroDivisionError: a bug\n"),
        (
            "dies",
            1,
            r"sft: rank 1 of 2 was ended by SIGKILL, perhaps because memory ran out; run again: .*\n",
        ),
        ("stops", 1, r"sft: rank 1 of 2 gave no sign of life for 3 s, .* run again: .*\n"),
        ("sleeps", 1, r"sft: rank 1 of 2 did nothing for 3 s, .* run again: .*\n"),
    ],
)
def test_a_rank_that_fails_ends_the_stage_with_its_own_words_once(
    counting: Path, start: Start, mode: str, status: int, said: str
):
    code, _, errors = ended(start(mode, hang_seconds_are_few=True))
    assert code == status
    assert re.fullmatch(said, errors), errors
    assert not (counting / "out.txt").exists()
    nothing_is_left(counting)
    assert [run.status for run in tracking.runs(counting)] == ["FAILED"]


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_signals_end_it_as_one_process(counting: Path, start: Start, number: int, status: int, word: str):
    process = start("slowly")
    until_step(process, 3)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    code, _, errors = ended(process)
    assert (code, errors) == (status, f"sft: {word}; its outputs are as they were\n")
    nothing_is_left(counting)
    assert [run.status for run in tracking.runs(counting)] == ["KILLED"]


def test_the_fork_server_runs_it_as_any_command_and_kills_all_of_it(counting: Path):
    lines: list[str] = []

    def interrupt(line: str, is_error: bool) -> None:
        lines.append(line)
        if "slowly" in command and line == "step 3":
            raise KeyboardInterrupt

    try:
        for mode in ("count", "slowly"):
            command = f"python -m alignloop sft --mode {mode} --out {mode}.txt"
            run = partial(processes.run, ["sh", "-c", command], counting, os.environ, interrupt)
            if mode == "count":
                assert run() == 0, lines
            else:
                with pytest.raises(KeyboardInterrupt):
                    run()
    finally:
        processes.forkserver.stop()
    assert [line for line in lines if line.startswith("step ")][:8] == [f"step {n}" for n in range(1, 9)]
    assert (counting / "count.txt").exists()
    assert not (counting / "slowly.txt").exists()
    nothing_is_left(counting)


def test_a_prefix_starts_the_ranks_and_their_number_is_checked(counting: Path, start: Start):
    override(counting / "params.yaml", changes={"compute.launch": f"{TORCHRUN} 2"})
    status, lines, errors = ended(start("count"))
    assert status == 0, errors
    assert [line for line in lines if line.startswith("step ")] == [f"step {n}" for n in range(1, 9)]
    assert (counting / "out.txt").read_text().startswith("seed 1, total 244.0 of 2, ")
    override(counting / "params.yaml", changes={"compute.launch": f"{TORCHRUN} 1"})
    status, _, errors = ended(start("count"))
    assert status == 1
    assert (
        "sft: compute.launch starts 1 processes, and compute.processes is 2: they must be the same" in errors
    )
    nothing_is_left(counting)


def test_a_prefix_that_is_no_program_is_named(counting: Path, start: Start):
    override(counting / "params.yaml", changes={"compute.launch": "no-such-program -n 2"})
    status, _, errors = ended(start("count"))
    assert status == 1
    assert errors.startswith("sft: compute.launch: 'no-such-program -n 2' cannot be started: ")
    override(counting / "params.yaml", changes={"compute.launch": "env"})
    status, _, errors = ended(start("count"))
    assert status == 1
    assert "what compute.launch starts knows no rank; expected one of RANK, SLURM_PROCID" in errors


@pytest.mark.parametrize("names", [("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")])
def test_a_process_reads_its_rank_from_what_started_it(names: tuple[str, str]):
    compute = Compute(
        device="cpu",
        processes=4,
        shard="none",
        launch="x",
        elastic=False,
        precision="fp32",
        frozen_weights="whole",
        gradient_checkpointing=False,
        tokens_per_pass=1,
        head_tokens=None,
    )
    assert place_of({names[0]: "3", names[1]: "4"}) == (3, 4)
    check_size(4, compute)
    with pytest.raises(LaunchError, match=r"starts 5 processes, and .* is 4"):
        check_size(5, compute)


def test_one_process_loads_nothing_of_several():
    several = ["core.ranks", "core.sharding", "pipeline.launch", "pipeline.rank_files", "rank_process"]
    code = (
        "import sys, alignloop.runner, alignloop.stages.ppo, alignloop.stages.evaluate, alignloop.__main__\n"
        f"print([name for name in {several} if f'alignloop.{{name}}' in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_stages_without_a_model_stay_one_process(counting: Path):
    assert runs_a_model(counting, "sft")
    assert not runs_a_model(counting, "ingest")
    root = PACKAGE.parent
    found = {stage for stage in ("ingest", "label", "ppo", "sample", "evaluate") if runs_a_model(root, stage)}
    assert found == {"ppo", "sample", "evaluate"}
