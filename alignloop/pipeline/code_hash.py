"""Hashes code by its syntax tree: a change of comments, docstrings, formatting or type hints is no change.

Type hints of arguments, results and variables do not count; those in a class's body do, because they declare
the fields of records and parameters. A file that is not Python, or does not parse, counts by its bytes. The
hash does not depend on the version of Python.
"""

import ast
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

FOR_HINTS = {"__future__", "collections.abc", "types", "typing"}  # modules whose names serve type hints
LEFT_OUT = {"kind", "type_comment"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def code_hash(path: Path) -> str:
    """The hash of a file's code, or of all files below a folder (".dir" at its end); 32 hex digits."""
    if path.is_file():
        return _file_hash(path)
    digest = hashlib.md5(usedforsecurity=False)
    for file in sorted(_files(path)):
        digest.update(f"{file.relative_to(path).as_posix()}\0{_file_hash(file)}\n".encode())
    return f"{digest.hexdigest()}.dir"


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _file_hash(path: Path) -> str:
    state = path.stat()
    return _hash_of_version(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=10_000)
def _hash_of_version(path: Path, changed: int, size: int) -> str:
    content = path.read_bytes()
    if path.suffix == ".py":
        with suppress(SyntaxError, ValueError, RecursionError):
            content = "".join(_canonical(ast.parse(content), in_class=False)).encode(errors="surrogatepass")
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _canonical(node: object, in_class: bool) -> Iterator[str]:
    """A node as text: its class, and its fields that count, by name. Empty fields are left out."""
    if isinstance(node, list):
        for each in node:
            yield from _canonical(each, in_class)
    elif not isinstance(node, ast.AST):
        yield f"{type(node).__name__}:{node!r};"
    elif isinstance(node, ast.JoinedStr):
        yield from _canonical(_joined(node), in_class)
    elif isinstance(node, ast.AnnAssign) and node.value and not in_class:
        yield from _canonical(ast.Assign(targets=[node.target], value=node.value), in_class)
    elif not _is_left_out(node, in_class):
        yield f"{type(node).__name__}("
        for name in sorted(node._fields):
            value = getattr(node, name, None)
            if value not in (None, []) and name not in _ignored(node):
                yield f"{name}="
                yield from _canonical(value, isinstance(node, ast.ClassDef) and name == "body")
        yield ")"


def _joined(text: ast.JoinedStr) -> list[object]:
    """The parts of an f-string; some versions of Python leave neighbouring texts apart, or add empty ones."""
    parts: list[object] = [b"f-string"]  # apart from a plain text
    for value in text.values:
        if not isinstance(value, ast.Constant):
            parts.append(value)
        elif isinstance(parts[-1], str):
            parts[-1] += str(value.value)
        elif value.value:
            parts.append(value.value)
    return parts


def _is_left_out(node: ast.AST, in_class: bool) -> bool:
    """Whether a statement does nothing at run time, or serves type hints only."""
    if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return True  # docstrings, among others
    if isinstance(node, ast.ImportFrom):
        return node.module in FOR_HINTS
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse
    return isinstance(node, ast.AnnAssign) and node.value is None and not in_class


def _ignored(node: ast.AST) -> set[str]:
    if isinstance(node, DEFINITIONS):
        return {"returns", *LEFT_OUT}
    return {"annotation", *LEFT_OUT} if isinstance(node, ast.arg) else LEFT_OUT
