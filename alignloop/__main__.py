"""`python -m alignloop STAGE --name value …` runs a stage or a command; `--help` lists them."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from alignloop.exit_status import exit_status, print_any_text
from alignloop.pipeline.environment import configure
from alignloop.pipeline.machine import check_place, keep_stores_private
from alignloop.stage_arguments import descriptions, parser_of

# name -> a module of alignloop.commands with `command(arguments) -> int`, and what it does
COMMANDS = {
    "status": ("status", "show what ran, is up to date, runs, failed, is on disk, and comes next"),
    "doctor": ("doctor", "say what is wrong with a checkpoint and the parameters, and what a run takes"),
    "base": ("public_base", "fetch a public assistant of 135M weights as a checkpoint: base smollm2"),
    "results": ("results", "print the rounds' results, and write the page reports/index.html again"),
    "serve": ("serve", "serve Prefect with a worker, MLflow and the labeling pages on loopback"),
    "review": ("review", "show the candidate beside the champion; approve, reject, restore, --audit"),
    "rollback": ("rollback", "make the previous champion the champion again"),
    "label": ("label", "serve the labeling pages on loopback; invite, export, import, publish-prompts, …"),
    "chat": ("chat", "serve the champion: a chat page and an OpenAI-compatible API; create-key, keys, …"),
    "watch": (
        "watch",
        "what people who chat think of versions; an alarm on a champion with more thumbs down",
    ),
    "rules": ("rules", "list the rules of configs/rules.yaml; measure how often each is right, and how fast"),
    "redteam": ("redteam", "let the champion respond to prompts that shall get round a rule; keep those"),
    "lineage": ("lineage", "show where a model came from, or what was made from a hash"),
    "data": ("data", "log, diff, show, forget: what the data sets contain, since when, and why"),
    "best-of": (
        "best_of",
        "rejection sampling: the best of n responses by a reward model, as demonstrations",
    ),
    "distill": ("distill", "let a teacher (a model behind an API) write demonstrations, as a source file"),
    "index": ("index", "make a folder of documents searchable by the tool `search`"),
    "adopt": ("adopt", "take a policy trained elsewhere: evaluate it, hold it to the gates, register it"),
    "reward-bench": ("reward_bench", "measure a reward model on preference files, beside simple baselines"),
    "classify": ("classify", "zero- and few-shot accuracy of a checkpoint on a labelled file, by its words"),
    "harness": ("harness", "tasks of the lm-evaluation-harness on a checkpoint (the extra `harness`)"),
    "questions": ("questions", "answers to MT-Bench-like questions, judged against another policy's"),
    "gc": ("gc", "show what in DVC's cache nothing needs; --yes removes it"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage or command in this process and return its exit status."""
    configure()
    print_any_text()
    name, *arguments = (sys.argv[1:] if argv is None else list(argv)) or ["--help"]
    if name in ("-h", "--help"):
        print(_overview())
        return 0
    if name == "rank":  # of several processes of a stage, started by it (pipeline/launch.py)
        return _rank(arguments)
    return exit_status(name, lambda: _dispatch(name, arguments))


def _dispatch(name: str, arguments: Sequence[str]) -> int:
    check_place(Path.cwd())
    keep_stores_private(Path.cwd())
    is_stage = name in descriptions()
    if name in COMMANDS and not (is_stage and arguments and arguments[0].startswith("--round")):
        return importlib.import_module(f"alignloop.commands.{COMMANDS[name][0]}").command(arguments)
    if not is_stage:
        print(f"alignloop: there is no stage '{name}'\n\n{_overview()}", file=sys.stderr)
        return 2
    if {"-h", "--help"} & set(arguments):
        parser_of(name).print_help()
        return 0
    from alignloop import params as parameters

    parser_of(name).parse_args(arguments)
    params = parameters.load(Path("params.yaml"))
    if params.compute.processes > 1:
        from alignloop.pipeline import launch

        if launch.runs_a_model(Path.cwd(), name):
            return launch.run(Path.cwd(), name, arguments, params.compute, params.threads)
    from alignloop import runner  # brings MLflow, which most commands do without

    return runner.run(name, arguments)


def _rank(arguments: Sequence[str]) -> int:
    from alignloop import rank_process

    return rank_process.main(arguments)


def _overview() -> str:
    lines = [
        "python -m alignloop COMMAND …    (`COMMAND --help` says more; `make run` runs the whole loop)",
        "",
        *(f"  {name:12} {words}" for name, (_, words) in COMMANDS.items()),
        "",
        "stages, which `make run` and `dvc repro` start with the arguments in dvc.yaml:",
        "",
        *(f"  {name:12} {words}" for name, words in descriptions().items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
