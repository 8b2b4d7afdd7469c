"""`python -m alignloop STAGE --name value …` runs a stage or a command; `--help` lists them."""

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from alignloop import stages
from alignloop.exit_status import exit_status, print_any_text
from alignloop.pipeline.environment import configure
from alignloop.pipeline.machine import check_place, keep_stores_private

# name -> a module of alignloop.commands with `command(arguments) -> int`, and what it does
COMMANDS = {
    "data": ("data", "log, diff, show, forget: what the data sets contain, since when, and why"),
    "label": ("label", "serve the labeling pages on loopback; invite, export, import, publish-prompts, …"),
    "best-of": (
        "best_of",
        "rejection sampling: the best of n responses by a reward model, as demonstrations",
    ),
    "results": ("results", "print the rounds' results, and write the page reports/index.html again"),
    "serve": ("serve", "serve Prefect with a worker, MLflow and the labeling pages on loopback"),
    "status": ("status", "show what ran, is up to date, runs, failed, is on disk, and comes next"),
    "gc": ("gc", "show what in DVC's cache nothing needs; --yes removes it"),
    "lineage": ("lineage", "show where a model came from, or what was made from a hash"),
    "review": ("review", "show the candidate beside the champion; approve, reject, restore, --audit"),
    "rollback": ("rollback", "make the previous champion the champion again"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage or command in this process and return its exit status."""
    configure()
    print_any_text()
    name, *arguments = (sys.argv[1:] if argv is None else list(argv)) or ["--help"]
    if name in ("-h", "--help"):
        print(_overview())
        return 0
    return exit_status(name, lambda: _dispatch(name, arguments))


def _dispatch(name: str, arguments: Sequence[str]) -> int:
    check_place(Path.cwd())
    keep_stores_private(Path.cwd())
    is_stage = name in _stages()
    if name in COMMANDS and not (is_stage and arguments and arguments[0].startswith("--round")):
        return importlib.import_module(f"alignloop.commands.{COMMANDS[name][0]}").command(arguments)
    if not is_stage:
        print(f"alignloop: there is no stage '{name}'\n\n{_overview()}", file=sys.stderr)
        return 2
    from alignloop import runner  # brings MLflow, which most commands do without

    return runner.run(name, arguments)


def _stages() -> dict[str, str]:
    """Each stage with its docstring's first line, read from the source: nothing is imported."""
    found = {}
    for file in sorted(file for folder in stages.__path__ for file in Path(folder).glob("[!_]*.py")):
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
    lines += ["", "commands:", *(f"  {name:12} {words}" for name, (_, words) in COMMANDS.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
