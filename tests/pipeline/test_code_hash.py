"""The hash of code: what changes nothing that runs changes no hash, and everything else does."""

from pathlib import Path

import pytest

from alignloop.pipeline.code_hash import code_hash

CODE = '''"""A module."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import math

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Point:
    """A point."""

    x: int
    y: int = 0


LIMIT: float = 0.5


def loss(values: Sequence[float], scale: float = 1.0) -> float:
    """The mean square."""
    total: float = 0.0
    left: list[float]
    for value in values:
        total += value * value  # squared
    return math.sqrt(total) if scale > LIMIT else f"{total:.3f}{{}}" * 2
'''
SAME = {
    "a comment": ("# squared", "# to the power of two"),
    "no comment": ("  # squared", ""),
    "a docstring": ('"""The mean square."""', '"""Another sentence.\n\n    And a second.\n    """'),
    "no docstring": ('    """The mean square."""\n', ""),
    "a module's docstring": ('"""A module."""', '"""Something else."""'),
    "formatting": ("total += value * value", "total += (\n            value\n            * value\n        )"),
    "blank lines": ("LIMIT", "\n\n\nLIMIT"),
    "a number's form": ("= 0.5", "= 5e-1"),
    "an argument's hint": ("values: Sequence[float]", "values: list[float]"),
    "no argument's hint": ("scale: float = 1.0", "scale=1.0"),
    "a result's hint": (" -> float:", " -> float | str:"),
    "a variable's hint": ("total: float = 0.0", "total = 0.0"),
    "a global's hint": ("LIMIT: float = 0.5", "LIMIT = 0.5"),
    "a bare hint": ("    left: list[float]\n", ""),
    "an import for hints": ("from collections.abc import Sequence\n", ""),
    "a guarded import": ("    from pathlib import Path", "    from os import PathLike"),
}
OTHER = {
    "an operator": ("value * value", "value + value"),
    "a default": ("scale: float = 1.0", "scale: float = 2.0"),
    "a name": ("LIMIT: float = 0.5", "BOUND: float = 0.5"),
    "a comparison": ("scale > LIMIT", "scale >= LIMIT"),
    "a number": ("= 0.5", "= 0.25"),
    "a format": (":.3f}", ":.4f}"),
    "a text": ('}}" * 2', '}} " * 2'),
    "a decorator": ("frozen=True", "frozen=False"),
    "a field's type": ("    x: int", "    x: float"),
    "a field": ("    y: int = 0\n", ""),
    "an import": ("import math", "import cmath as math"),
    "an order": ("    total: float = 0.0\n    left: list[float]\n", "    left = total = 0.0\n"),
    "a kind": ("= 0.0", "= 0"),
}


def changed(path: Path, old: str, new: str) -> str:
    assert CODE.count(old) >= 1
    path.write_text(CODE.replace(old, new, 1))
    return code_hash(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "code.py"


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_does_not_run_does_not_count(path: Path, change: tuple[str, str]) -> None:
    before = changed(path, "LIMIT", "LIMIT")
    assert changed(path.with_name("other.py"), *change) == before


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_what_runs_counts(path: Path, change: tuple[str, str]) -> None:
    before = changed(path, "LIMIT", "LIMIT")
    assert changed(path.with_name("other.py"), *change) != before


def test_every_version_of_python_gives_the_same_hash(path: Path) -> None:
    assert changed(path, "LIMIT", "LIMIT") == "a14bc6d503d82ac2a39373119e0dcad5"


def test_a_file_that_changes_on_disk_is_read_again(path: Path) -> None:
    before = changed(path, "LIMIT", "LIMIT")
    assert changed(path, "value * value", "value + value") != before


def test_what_is_no_python_counts_by_its_bytes(tmp_path: Path) -> None:
    hashes = set()
    for name, content in (("a.py", b"def ("), ("b.py", b"def  ("), ("c.txt", b"x = 1"), ("d.txt", b"x =  1")):
        (tmp_path / name).write_bytes(content)
        hashes.add(code_hash(tmp_path / name))
    assert len(hashes) == 4


def test_a_folder_counts_by_the_names_and_the_code_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "room"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "one.py").write_text("x = 1\n")
    before = code_hash(folder)
    assert before.endswith(".dir")
    (folder / "__pycache__" / "one.pyc").write_bytes(b"\0")
    (folder / "one.py").write_text("x = 1  # one\n")
    assert code_hash(folder) == before
    (folder / "two.py").write_text("y = 2\n")
    more = code_hash(folder)
    assert more != before
    (folder / "two.py").rename(folder / "three.py")
    assert code_hash(folder) not in (before, more)
