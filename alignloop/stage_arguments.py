"""The stages' command lines, read from their source: nothing of them is imported, so `--help` is quick."""

import argparse
import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from alignloop import stages

KINDS = {"Path": Path, "str": str}  # of the arguments; the rest, sections of params.yaml, is filled in


def descriptions() -> dict[str, str]:
    """Each stage with the first line of its docstring."""
    return {
        function.name: (ast.get_docstring(function) or "").split("\n")[0]
        for function in sorted(_functions(), key=lambda function: function.name)
    }


def parser_of(stage: str) -> argparse.ArgumentParser:
    """The parser of a stage's paths and names; its function's signature is their only declaration."""
    [function] = [function for function in _functions() if function.name == stage]
    parser = argparse.ArgumentParser(
        f"python -m alignloop {stage}",
        description=inspect.cleandoc(ast.get_docstring(function) or ""),
        allow_abbrev=False,
    )
    for argument in (*function.args.args, *function.args.kwonlyargs):
        kind = KINDS.get(ast.unparse(argument.annotation)) if argument.annotation else None
        if kind:
            option = f"--{argument.arg.replace('_', '-')}"
            parser.add_argument(option, type=kind, metavar=kind.__name__.upper(), required=True)
    return parser


def _functions() -> Iterator[ast.FunctionDef]:
    for file in (file for folder in stages.__path__ for file in Path(folder).glob("[!_]*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == file.stem:
                yield node
