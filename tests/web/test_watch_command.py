"""`watch` prints what people think, writes it on the candidate's version, ends with the alarm's status."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from alignloop.__main__ import main
from alignloop.commands.watch import ALARM
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.labeling.feedback_schema import ServedOpinion
from alignloop.release import online
from alignloop.tracking import registry
from tests.web.chat_server import CHAMPION

FIRST, SECOND = "alignloop-policy/1", "alignloop-policy/2"


@pytest.fixture
def root(policies: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.chdir(policies)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/labeling.db")
    yield policies
    for alias in ("candidate", "previous"):
        registry.delete_alias(policies, alias, "alignloop-policy")


def say(root: Path, model: str, up: int, down: int) -> None:
    """Thumbs of people to whom two versions are shown."""
    database = LabelingDatabase(database_url(root))
    with database.writing() as session:
        for value in [1.0] * up + [0.0] * down:
            for kind, other in (("thumb", ""), ("blind", {FIRST: SECOND, SECOND: FIRST}[model])):
                about = {"message": None, "kind": kind, "model": model, "other": other, "asked": CHAMPION}
                session.add(ServedOpinion(**about, value=value, is_first=True, time=0.0))
    database.close()


def test_the_candidate_gets_its_win_rates_and_a_bad_champion_the_alarm(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = registry.find(root, SECOND)
    registry.set_alias(root, "candidate", second)
    say(root, FIRST, 3, 47)
    say(root, SECOND, 45, 5)
    assert main(["watch"]) == 0
    printed = capsys.readouterr().out
    assert f"{FIRST} @champion" in printed
    assert "no alarm: there is no previous champion" in printed
    wins = registry.find(root, SECOND).tags[online.TAG]
    assert wins.startswith(f"against {FIRST}: by thumbs 0.920 [")
    assert f"{SECOND} @candidate, online: {wins}" in printed

    registry.set_alias(root, "previous", second)
    assert main(["watch"]) == ALARM
    assert "ALARM: alignloop-policy/1 @champion gets more thumbs down" in capsys.readouterr().out


def test_without_a_database_nothing_is_made(
    policies: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(policies)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert main(["watch"]) == 1
    assert "`make chat` makes it" in capsys.readouterr().err
    assert not (policies / "people").exists()
