"""`python -m alignloop doctor [CHECKPOINT]`: all that can be known of a run before anything runs.

It looks at the parameters, the checkpoint, the prepared data and this machine. Nothing is written.
"""

import argparse
import json
import os
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignloop.checks.findings import Finding, error
from alignloop.checks.processor_time import BUSY
from alignloop.checks.stage_memory import gigabytes, needed
from alignloop.core.hub_ids import is_local
from alignloop.params import Params, ParamsError
from alignloop.phases import phase
from alignloop.pipeline.overrides import parse_value, preview
from alignloop.progress import duration, watched
from alignloop.training.public_base import BASES, FOLDER, PublicBaseError

if TYPE_CHECKING:  # brings torch
    from alignloop.checks.examination import Examination

WIDTH = 110


def command(arguments: Sequence[str]) -> int:
    """Print what was found; returns 1 if a stage would fail."""
    options = _parser().parse_args(arguments)
    if options.sizes:
        from alignloop.checks.size_table import table

        print(table())
        return 0
    changes = {key: parse_value(value) for key, _, value in (pair.partition("=") for pair in options.changes)}
    root, checkpoint = Path.cwd(), options.checkpoint
    if checkpoint in BASES and not Path(checkpoint).exists():
        checkpoint = str(FOLDER / checkpoint)
        if not Path(checkpoint).exists():
            raise PublicBaseError(
                f"{checkpoint}: not fetched yet; run `python -m alignloop base {options.checkpoint}`"
            )
    with watched("doctor", lambda line: print(line, file=sys.stderr, flush=True)):
        try:
            params = preview(root / "params.yaml", options.files, changes, base=checkpoint)
        except ParamsError as fault:
            found = _without_parameters(fault, checkpoint)
        else:
            found = _examination(params, root, options.times, options.rates)
    if options.json:
        print(json.dumps(as_json(found), ensure_ascii=False))
    else:
        print("\n".join(lines(found)))
    return 1 if found.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop doctor", description=__doc__)
    parser.add_argument(
        "checkpoint",
        nargs="?",
        metavar="CHECKPOINT",
        help=f"a folder, a hub id, or a public base ({', '.join(BASES)}) that `python -m alignloop base` has "
        "fetched; without it `base` of params.yaml, or the base model that is made here",
    )
    parser.add_argument(
        "--with",
        dest="files",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a YAML file of keys that differ from params.yaml, such as configs/laptop.yaml",
    )
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of params.yaml and another value",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    parser.add_argument(
        "--no-times", dest="times", action="store_false", help="do not measure how long stages take"
    )
    parser.add_argument(
        "--rates",
        type=_rates,
        metavar="OBJECT",
        help="`rates` of an earlier --json: say how long stages take with the data of now, measuring nothing",
    )
    parser.add_argument(
        "--sizes", action="store_true", help="print the memory of models of several sizes, and end"
    )
    return parser


def _rates(text: str) -> dict[str, float]:
    """The rates of an earlier examination."""
    return {str(name): float(value) for name, value in json.loads(text).items()}


def _examination(params: Params, root: Path, times: bool, rates: Mapping[str, float] | None) -> "Examination":
    _quiet(params.base)
    from alignloop.checks.examination import examine, examine_again, examine_built_in
    from alignloop.checks.step_time import Rates

    if params.base and rates:
        return examine_again(params, params.base, root, Rates(**rates))
    if params.base:
        return examine(params, params.base, root, times=times)
    with tempfile.TemporaryDirectory() as folder:
        return examine_built_in(params, root, Path(folder), times=times)


def _without_parameters(fault: ParamsError, checkpoint: str | None) -> "Examination":
    """Which parameters are wrong, and what can be known of a checkpoint without them."""
    _quiet(checkpoint)
    from alignloop.checks.examination import Examination, examine_folder

    found = Examination(checkpoint or "the built-in base model")
    found.findings += [error("parameters", line) for line in str(fault).splitlines()]
    if checkpoint:
        examine_folder(found)
        examined = Finding("memory", "note", "not estimated, and no pass was run", "correct the parameters")
        found.findings.append(examined)
    return found


def _quiet(checkpoint: str | None) -> None:
    """Import transformers without its messages; an id on the hub asks for the hub."""
    if checkpoint and not is_local(checkpoint) and not Path(checkpoint).exists():
        os.environ["HF_HUB_OFFLINE"] = "0"  # read when it is imported
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "passive"
    )  # waiting threads spin else, and all wait when it is busy
    with phase("importing PyTorch and transformers"):  # takes seconds: --help does without it
        import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def as_json(found: "Examination") -> dict[str, Any]:
    """The whole examination as one object; bytes and seconds are numbers."""
    return {
        "ok": not found.failed,
        "checkpoint": found.checkpoint,
        "device": found.device,
        "shape": found.shape and asdict(found.shape),
        "findings": [asdict(finding) for finding in found.findings],
        "memory_bytes": {
            usage.stage: {"total": needed(usage, found.device), **usage.parts} for usage in found.memory
        },
        "free_bytes": found.free,
        "rates": found.rates and asdict(found.rates),
        "seconds": {stage: round(seconds, 1) for stage, seconds in found.seconds.items()},
    }


def lines(found: "Examination") -> Iterator[str]:
    """The examination for people."""
    shape = found.shape
    sizes = f" ({shape.family}, {shape.weights:,} weights)" if shape else ""
    yield f"{found.checkpoint}{sizes}, on {found.device}"
    yield ""
    for finding in found.findings:
        yield from _said(finding)
    if found.memory:
        yield ""
        free = gigabytes(found.free) if found.free else "an unknown amount"
        yield f"memory at the peak, about, of {free} that is free:"
        for usage in found.memory:
            parts = sorted(usage.parts.items(), key=lambda part: -part[1])
            named = ", ".join(f"{name} {gigabytes(bytes)}" for name, bytes in parts[:4] if bytes)
            yield f"  {usage.stage:9} {gigabytes(needed(usage, found.device)):>8}   {named}"
    if found.rates:
        yield ""
        yield from _times(found)
    yield ""
    count = {kind: sum(each.severity == kind for each in found.findings) for kind in ("error", "warning")}
    verdict = "a stage would fail" if found.failed else "ready to run"
    yield f"{verdict}: {_counted(count['error'], 'error')}, {_counted(count['warning'], 'warning')}"


def _times(found: "Examination") -> Iterator[str]:
    rates = found.rates
    assert rates
    yield (
        f"time, from passes measured here ({rates.learned:,.0f} tokens a second learned, "
        f"{rates.read:,.0f} read, {rates.drawn:,.0f} drawn):"
    )
    busy = rates.slowdown >= BUSY
    if busy:
        yield "  on idle cores, and now that this machine is busy:"
    for stage, seconds in found.seconds.items():
        now = f"   {duration(seconds * rates.slowdown):>8}" if busy else ""
        each = "" if stage == "sft" else " each round"
        yield f"  {stage:9} {duration(seconds):>8}{now}{each}"
    if "sft" not in found.seconds:
        yield "  sft       is known when the data is prepared: make run ARGS=--data-only"


def _said(finding: Finding) -> Iterator[str]:
    head = f"{finding.severity:8} {finding.check:11} "
    room = WIDTH - len(head)
    said = textwrap.wrap(finding.message, room, break_long_words=False, break_on_hyphens=False)
    if finding.remedy and finding.remedy != "nothing":
        said += textwrap.wrap(f"→ {finding.remedy}", room, break_long_words=False, break_on_hyphens=False)
    for place, line in enumerate(said):
        yield f"{head if place == 0 else ' ' * len(head)}{line}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
