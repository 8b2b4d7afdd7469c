"""Served prompts beside the training prompts: equal ones do not drift, others do, and nothing is guessed."""

import json
from pathlib import Path

import pytest

from alignloop.lineage.drift import served
from alignloop.lineage.drift.served import ServedDriftError
from alignloop.params import load
from alignloop.records import Message, Prompt
from tests.conftest import PROJECT

BOUNDS = load(PROJECT / "params.yaml").validate_.drift.model_dump()
SHORT = "Is the sea full of salt?"
LONG = "Warum ist das Meer so salzig, und wer hat die Tür des Hauses am Hafen grün gestrichen? " * 4


def prompts(*texts: str) -> list[Prompt]:
    return [
        Prompt(id=f"p{place}", messages=(Message(role="user", content=text),), user="u", source="chat")
        for place, text in enumerate(texts)
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose training prompts are all short and English."""
    trained = served._profile(tmp_path, prompts(*[SHORT] * 200))
    (tmp_path / served.PROFILES).parent.mkdir(parents=True)
    (tmp_path / served.PROFILES).write_text(json.dumps({"prompts": trained}))
    return tmp_path


def test_prompts_like_those_of_training_do_not_drift_and_others_do(root: Path) -> None:
    assert served.last(root) is None
    same = served.measure(root, prompts(*[SHORT] * 50), BOUNDS)
    assert (same.served, same.trained) == (50, 200)
    assert [each.distance for each in same.shifts] == [0.0]
    other = served.measure(root, prompts(*[LONG] * 40, *[SHORT] * 10), BOUNDS)
    [length] = [each for each in other.shifts if each.measure == "length"]
    assert length.distance == pytest.approx(0.8)
    assert length.exceeds_bound
    assert served.last(root) == other
    page = (root / "reports" / "served" / "drift.html").read_text()
    assert "served prompts" in page
    assert LONG not in page
    assert sorted(each.name for each in (root / "reports" / "served").iterdir()) == [
        "drift.html",
        "drift.json",
        "drift.png",
    ]
    assert list((root / ".cache").iterdir()) == []


def test_without_prompts_or_training_nothing_is_compared(root: Path) -> None:
    with pytest.raises(ServedDriftError, match="no prompt of people who agree"):
        served.measure(root, [], BOUNDS)
    (root / served.PROFILES).unlink()
    with pytest.raises(ServedDriftError, match=r"sets\.json: there is none"):
        served.measure(root, prompts(SHORT), BOUNDS)
