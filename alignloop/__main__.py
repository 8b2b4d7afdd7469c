"""`python -m alignloop STAGE --name value …`: every command in dvc.yaml, and the commands of people. `--help` lists them."""

import argparse
import ast
import errno
import importlib
import inspect
import json
import math
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from alignloop import stages
from alignloop.errors import AlignloopError, Waiting
from alignloop.pipeline.environment import configure

if TYPE_CHECKING:
    from alignloop.training.checkpoints import Checkpoint

COMMANDS = {  # name -> a module with `command(arguments) -> int`, or module:function, and what it does; a stage's --round comes first
    "data": ("alignloop.commands.data", "log, diff, show, forget: what is in the sets, since when, and why"),
    "label": (
        "alignloop.commands.label",
        "serve the labeling pages on loopback; invite, export, import, publish-prompts, …",
    ),
    "best-of": (
        "alignloop.evaluation.best_of_n_report",
        "rejection sampling: the best of n answers by a reward model, as demonstrations",
    ),
    "serve": (
        "alignloop.commands.serve",
        "serve Prefect with a worker, MLflow and the labeling pages on loopback",
    ),
    "status": (
        "alignloop.commands.status",
        "say what ran, is up to date, runs, failed, is on disk, and comes next",
    ),
    "gc": ("alignloop.commands.gc", "show what in DVC's cache nobody needs; --yes removes it"),
    "lineage": ("alignloop.commands.lineage", "show where a model came from, or what was made from a hash"),
    "review": (
        "alignloop.commands.review",
        "show the candidate beside the champion; approve, reject, restore, --audit",
    ),
    "rollback": ("alignloop.commands.review:rollback", "make the previous champion the champion again"),
}
POINTS = 500  # a curve's most points in MLflow; the stage's plots keep them all
FULL = ("No space left on device", "Disk quota exceeded", "database or disk is full")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage or command in this process and return its exit status."""
    configure()
    name, *arguments = (sys.argv[1:] if argv is None else list(argv)) or ["--help"]
    if name in ("-h", "--help"):
        print(_overview())
        return 0
    try:
        with _terminable():
            if name in COMMANDS and not (
                name in _stages() and arguments[:1] and arguments[0].startswith("--round")
            ):
                module, _, function = COMMANDS[name][0].partition(":")
                return getattr(importlib.import_module(module), function or "command")(arguments)
            if name not in _stages():
                print(f"alignloop: there is no stage '{name}'\n\n{_overview()}", file=sys.stderr)
                return 2
            return _run_stage(name, arguments)
    except SystemExit as exit:  # argparse: --help, or arguments that do not fit
        return exit.code if isinstance(exit.code, int) else 1
    except KeyboardInterrupt as interrupt:
        terminated = interrupt.args == (signal.SIGTERM,)
        print(
            f"{name}: {'terminated' if terminated else 'interrupted'}; its outputs are as they were",
            file=sys.stderr,
        )
        return 143 if terminated else 130
    except BrokenPipeError:  # who read the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except AlignloopError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return os.EX_TEMPFAIL if isinstance(error, Waiting) else 1
    except Exception as error:
        if not (place := _full_disk(error)):
            raise
        free = f"{shutil.disk_usage(Path(place).parent).free // 2**20:,} MB"
        print(
            f"{name}: no space left on the disk of {place} ({free} free); make room and run again: what was finished stays",
            file=sys.stderr,
        )
        return 1


def _run_stage(stage: str, arguments: Sequence[str]) -> int:
    function = getattr(importlib.import_module(f"alignloop.stages.{stage}"), stage)
    given = _parse(stage, function, arguments)

    from alignloop import params as parameters
    from alignloop import tracking
    from alignloop.flatten import flatten
    from alignloop.pace import paced
    from alignloop.pipeline import dvc_repair
    from alignloop.pipeline.checkout_lock import lock_stage
    from alignloop.pipeline.stage_files import fingerprint, footprint, hashes
    from alignloop.tracking.system_metrics import SystemMonitor

    root = Path.cwd()
    params = parameters.load(Path("params.yaml"))
    paths = footprint(root, stage, arguments, given)
    name = tracking.title(paths.stage, paths.round)
    values = {
        key: value
        for key, value in flatten(params.model_dump(by_alias=True)).items()
        if paths.uses(key)
    }
    _steady(params.seed, params.threads, params.lanes, name)
    with lock_stage(root, paths.name):
        dvc_repair.back_up_lock(root)
        inputs, code = hashes(root, paths.inputs), hashes(root, paths.code)
        mark = fingerprint(root, stage, arguments, values, inputs, code)
        checkpoint = _checkpoint(root, paths.name, mark, params.checkpoint_every.model_dump().get(stage, 0))
        saved = {"checkpoint": checkpoint} if checkpoint else {}
        registry = importlib.import_module("alignloop.release.promotion") if stage == "release" else None
        if registry:
            registry.fetch_champion(root, params, inputs, given["champion"])
        with tracking.run(root, paths.stage, paths.round, values, inputs, code, mark) as run:
            step, machine = 0, SystemMonitor()
            for progress in paced(function(params, **saved, **given), name, _say):
                step = progress.step
                if step % math.ceil(progress.total / POINTS) == 0 or step == progress.total:
                    run.log(step, progress.metrics)
                if busy := machine.readings():
                    run.log(
                        int(time.time()), busy
                    )  # no step of the stage: one that goes on after an interruption repeats some
            if stage == "validate":
                bounds = params.validate_.drift.model_dump()
                for line in importlib.import_module("alignloop.lineage.drift").report(
                    root, paths, run, inputs, bounds, given
                ):
                    _say(f"{name}  {line}")
            outputs = hashes(root, paths.outputs)
            kept, numbers = _results([*outputs, *paths.pages])
            run.log(step, numbers)
            run.finish(outputs, kept)
            if registry:
                _say(registry.register_release(root, params, inputs, given["out"], given["metrics"], run.id))
        if checkpoint:
            checkpoint.done(outputs)
        if registry:
            _say(
                registry.decide_candidate(root, params, given["out"], given["metrics"])
            )  # what waits for a person now is no failed run
    return 0


def _checkpoint(root: Path, name: str, fingerprint: str, every: int) -> "Checkpoint | None":
    """Where a stage that trains can be continued; those of stages whose results DVC has recorded since go."""
    if not every and not (root / ".cache" / "checkpoints").exists():
        return None
    from alignloop.pipeline.dvc_lock import locked_stages
    from alignloop.training.checkpoints import Checkpoint, forget

    forget(
        root,
        {
            f"{entry.stage}@{entry.round}" if entry.round else entry.stage: entry.outputs
            for entry in locked_stages(root)
        },
    )
    return Checkpoint(root, name, fingerprint, every) if every else None


def _results(written: Sequence[str]) -> tuple[list[tuple[Path, str]], dict[str, float]]:
    """What MLflow keeps of a stage's outputs, with its place there: numbers, curves, pages, and pictures of them; and those numbers."""
    from alignloop.flatten import flatten
    from alignloop.tracking import figures

    kept: list[tuple[Path, str]] = []
    numbers: dict[str, float] = {}
    for path in map(Path, written):
        if path.suffix == ".json":
            leaves = flatten(json.loads(path.read_text(encoding="utf-8"))).items()
            numbers |= {
                key: leaf for key, leaf in leaves if isinstance(leaf, int | float) and key.count(".") < 3
            }
        if path.parts[0] in ("metrics", "plots", "reports") and path.exists():
            kept.append((path, path.parts[0]))
            if picture := figures.draw(path, Path("reports", *path.with_suffix(".png").parts[1:])):
                kept.append((picture, "figures"))
    return kept, numbers


def _say(line: str) -> None:
    print(line, flush=True)


def _parse(stage: str, function: Callable[..., Iterator[Any]], arguments: Sequence[str]) -> dict[str, Any]:
    """The stage's keyword arguments; its signature is their only declaration."""
    parser = argparse.ArgumentParser(
        f"python -m alignloop {stage}", description=inspect.getdoc(function), allow_abbrev=False
    )
    kinds = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("params", "checkpoint"):  # the runner's own gifts
            continue
        kind = kinds[name] if isinstance(kinds[name], type) else str
        need: Any = (
            {"required": True}
            if parameter.default is inspect.Parameter.empty
            else {"default": parameter.default}
        )
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=kind.__name__.upper(), **need)
    return vars(parser.parse_args(arguments))


def _steady(seed: int, threads: int, lanes: int, name: str) -> None:
    """The same draws and the same rounding every time: seeds, threads and deterministic kernels, where the stage uses them."""
    from alignloop.seeds import seed_of

    own = seed_of(seed, name)
    random.seed(own)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(own % 2**32)
    if torch := sys.modules.get("torch"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.set_num_threads(threads)
        torch.manual_seed(own)
        torch.use_deterministic_algorithms(True)
        importlib.import_module("alignloop.core.parallel_passes").use(lanes)
    if transformers := sys.modules.get("transformers"):
        transformers.utils.logging.disable_progress_bar()


@contextmanager
def _terminable() -> Iterator[None]:
    """While the block runs, SIGTERM interrupts like Ctrl-C, so that the run is ended and temporary files go."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _full_disk(error: BaseException | None) -> str | None:
    """The path whose disk is full, if that is what went wrong, however deep a library wrapped it."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or any(
            words in str(error) for words in FULL
        ):
            named = Path(getattr(error, "filename", None) or ".").absolute()
            return str(named if named.parent.exists() else Path.cwd())
        error = error.__cause__ or error.__context__
    return None


def _stages() -> dict[str, str]:
    """Each stage with its docstring's first line, read from the source: nothing is imported."""
    found = {}
    for file in sorted(file for folder in stages.__path__ for file in Path(folder).glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == file.stem:
                found[file.stem] = (ast.get_docstring(node) or "").split("\n")[0]
    return found


def _overview() -> str:
    lines = [
        "python -m alignloop STAGE --name value …",
        "",
        "stages (`STAGE --help` lists what each reads and writes):",
    ]
    lines += [f"  {name:12} {words}" for name, words in _stages().items()]
    lines += ["", "for people:", *(f"  {name:12} {words}" for name, (_, words) in COMMANDS.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
