"""`watch` prints what people think, writes it on the candidate's version, ends with the alarm's status."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignloop.__main__ import main
from alignloop.commands.watch import ALARM
from alignloop.labeling import consent, conversations
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.labeling.feedback_schema import ServedOpinion
from alignloop.release import online
from alignloop.tracking import registry
from tests.conftest import PROJECT
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


def test_drift_is_measured_on_prompts_of_people_who_agree_and_shown(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(PROJECT / "configs", root / "configs")
    statement = consent.read_statement(root, "configs/consent.md", "LicenseRef-Chat-Consent")
    database = LabelingDatabase(database_url(root))
    consent.record_statement(database, statement)
    consent.decide(database, "ada", statement, version=statement.version, agreed=True)
    for owner, text in (("ada", "Write to ada@example.org"), ("bob", "Is the sea full of salt?")):
        settings = {"model": CHAMPION, "system": "", "sampling": {}}
        id = conversations.create(database, owner, "A title", **settings)
        prompt = conversations.add_prompt(database, owner, id, None, text)
        more = {"model": FIRST, "state": "complete", "left_out": 0, "system": ""}
        conversations.add_response(database, owner, id, parent=prompt, content="Yes.", **more)
    database.close()
    trained = {"prompts": {"rows": 10, "characters": 8.0, "mixes": {"length": {"8": 10}}}}
    (root / "reports" / "profiles").mkdir(parents=True)
    (root / "reports" / "profiles" / "sets.json").write_text(json.dumps(trained))
    assert main(["watch", "drift"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        "1 served prompts beside 10 training prompts\nlength: median characters 8 → 16;"
    )
    for name in ("configs", "reports"):
        shutil.rmtree(root / name)
