"""Scores of other kinds on several ranks: what `tests/core/rank_jobs.py` compares with one process."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alignloop.core import parallel_passes
from alignloop.records import Message, Prompt
from alignloop.scoring.checkpoint_score import CheckpointScore
from alignloop.scoring.drawn import Drawn
from alignloop.scoring.local_function import LocalFunction
from tests.scoring.conftest import forget, save_classifier

FIRST_ALONE = """
from alignloop.core import parallel_passes
def score(prompts, responses):
    assert parallel_passes.is_writer()
    return [len(each) for each in responses]
"""


def other_scores() -> dict[str, Any]:
    """Another reward model's scores, dealt among the ranks, and a function's, which the first one calls."""
    with TemporaryDirectory() as name:
        if parallel_passes.is_writer():
            (Path(name) / "scores").mkdir()
            (Path(name) / "scores" / "__init__.py").touch()
            (Path(name) / "scores" / "own.py").write_text(FIRST_ALONE)
            save_classifier(Path(name) / "rm")
        root = Path(parallel_passes.agreed(name))
        texts = [f"{'a ' * n}so" for n in range(9)]
        asked = Prompt(id="p", messages=(Message(role="user", content="What?"),), user="u", source="s")
        drawn = Drawn([[0]] * 9, [[0]] * 9, [asked] * 9, texts)
        forget()
        parts = (
            CheckpointScore("rm", str(root / "rm")),
            LocalFunction("own", "scores.own:score", root, 60.0),
        )
        return {"scores": [part(drawn) for part in (*parts, parts[0])]}
