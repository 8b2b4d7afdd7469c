"""`python -m alignloop harness TASK … --policy FOLDER`: tasks of the lm-evaluation-harness on a checkpoint.

Task files are in the folder `harness`; the package `lm_eval` is the optional extra `harness`. It prints every
metric with its 95 % interval for each number of shots, and keeps numbers and samples in an MLflow run.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from alignloop import params as parameters
from alignloop import tracking
from alignloop.checks.harness_tasks import check_tasks
from alignloop.core.models import load_policy
from alignloop.determinism import make_deterministic
from alignloop.evaluation.harness import FOLDER, HarnessError, HarnessResults, run_tasks
from alignloop.evaluation.results_table import tasks_table
from alignloop.files import rounded, write_json
from alignloop.params.evaluate import HarnessTask
from alignloop.pipeline.stage_files import hashes
from alignloop.progress import Progress, paced
from alignloop.tracking import metric_names

NAME = "policy"


def command(arguments: Sequence[str]) -> int:
    """Run the tasks; print the table and keep numbers and samples."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if min(options.shots) < 0 or (options.limit is not None and options.limit < 1):
        parser.error("--shots: 0 or more; --limit: one sample at least")
    plan = HarnessTask(shots=options.shots, chat=options.chat, limit=options.limit)
    root, params = Path.cwd(), parameters.load(Path("params.yaml"))
    tasks = dict.fromkeys(options.tasks, plan)
    if faults := [f"{each.message}; {each.remedy}" for each in check_tasks(tasks, root)]:
        raise HarnessError("\n".join(faults))
    make_deterministic(params, "harness")
    found: list[HarnessResults] = []

    def work() -> Iterator[Progress]:
        model, tokenizer = load_policy(options.policy)
        length = options.max_new_tokens or params.decoding.max_new_tokens
        found.append(run_tasks(model, tokenizer, tasks, name=NAME, seed=params.seed, max_new_tokens=length))
        yield Progress(1, 1)

    for _ in paced(work(), "harness", _say, look_every=1.0):
        pass
    numbers = rounded({NAME: found[0].numbers})
    if options.out:
        write_json(options.out, numbers)
    print(f"\n{tasks_table(numbers, options.policy.as_posix())}", flush=True)
    about = {"policy": options.policy.as_posix(), "tasks": " ".join(options.tasks), "chat": options.chat}
    inputs = hashes(root, [options.policy.as_posix(), FOLDER.as_posix()])
    with tracking.run(root, "harness", params=about, inputs=inputs) as run, TemporaryDirectory() as folder:
        kept, samples = Path(folder, "harness.json"), Path(folder, "tasks.jsonl")
        write_json(kept, numbers)
        samples.write_text("".join(f"{line}\n" for line in found[0].lines), encoding="utf-8")
        run.log(0, metric_names.of_tasks("harness", numbers))
        run.finish({}, [(kept, ""), (samples, "")])
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop harness", description=__doc__)
    parser.add_argument("tasks", nargs="+", metavar="TASK", help="the name in a task file")
    parser.add_argument("--policy", type=Path, required=True, help="a checkpoint, e.g. models/sft")
    parser.add_argument("--shots", type=int, nargs="+", default=[0], help="a row for each, e.g. 0 4")
    parser.add_argument("--chat", action="store_true", help="in the checkpoint's chat template")
    parser.add_argument("--limit", type=int, help="the first LIMIT samples of each task")
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        help="of an answer, where its task does not say",
    )
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    return parser
