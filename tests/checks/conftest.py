"""A checkpoint that a test may spoil, and the default parameters."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from alignloop.params import Params, load

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def params() -> Params:
    return load(PROJECT / "params.yaml")


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_policy: Path) -> Path:
    """A copy of the tiny policy: context of 96 tokens, responses of at most 40."""
    return Path(shutil.copytree(tiny_policy, tmp_path / "checkpoint"))


def rewrite(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
