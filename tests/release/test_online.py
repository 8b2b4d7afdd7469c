"""What people think of versions: who counts, the alarm on the champion, the candidate's win rates."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from alignloop.core.anytime import Counted, share_interval
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback_schema import ServedOpinion
from alignloop.labeling.schema import Event
from alignloop.release import online
from alignloop.release.online import Look
from alignloop.serving.served_version import ServedVersion

ASKED = "m@champion"
OLD, NEW, NEXT = "m/1", "m/2", "m/3"
VERSIONS = [
    ServedVersion(NEXT, ("candidate",), "c"),
    ServedVersion(NEW, ("champion",), "b"),
    ServedVersion(OLD, ("previous",), "a"),
    ServedVersion("n/1", ("champion",), "d"),
]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LabelingDatabase]:
    opened = LabelingDatabase(f"sqlite:///{tmp_path}/people/labeling.db")
    yield opened
    opened.close()


def say(
    database: LabelingDatabase,
    model: str,
    *,
    up: int = 0,
    down: int = 0,
    other: str = "",
    kind: str = "thumb",
) -> None:
    """Opinions of so many people on a version, or for it and against it beside another one."""
    with database.writing() as session:
        for value in [1.0] * up + [0.0] * down:
            about = {"message": None, "kind": kind, "model": model, "other": other, "asked": ASKED}
            session.add(ServedOpinion(**about, value=value, is_first=True, time=0.0))


def look(database: LabelingDatabase, versions: list[ServedVersion] = VERSIONS) -> Look:
    return online.look(database, versions, ASKED, 0.01)


def test_the_alarm_is_raised_once_names_both_and_says_how_to_go_back(
    database: LabelingDatabase, tmp_path: Path
) -> None:
    say(database, OLD, up=180, down=20)
    say(database, NEW, up=9, down=1)
    calm = look(database, VERSIONS[1:])
    assert calm.rise
    assert calm.rise.sentence.startswith("no alarm: 1 of 10 people (0.100 [")
    assert not online.record(tmp_path, database, calm)
    say(database, NEW, up=21, down=29)
    found = look(database, VERSIONS[1:])
    assert found.rise
    assert found.rise.evidence > 100
    assert "30 of 60 people (0.500 [" in found.rise.sentence
    assert "20 of 200 people (0.100 [" in found.rise.sentence
    assert "python -m alignloop rollback --name" in found.rise.sentence
    assert online.record(tmp_path, database, found)
    assert not online.record(tmp_path, database, found)
    with database.reading() as session:
        [event] = session.scalars(select(Event))
    assert (event.action, event.subject, event.details["before"]) == ("alarm: thumbs down", NEW, OLD)


def test_without_a_previous_champion_or_a_candidate_there_is_nothing_to_compare(
    database: LabelingDatabase,
) -> None:
    say(database, NEW, down=50)
    found = look(database, [VERSIONS[1], ServedVersion("m/4", ("candidate",), "b")])
    assert (found.rise, found.online) == (None, None)  # m/4 has the champion's bytes
    assert [each.version.name for each in found.rated] == [NEW, "m/4"]


def test_the_win_rates_of_the_candidate_are_those_of_people_with_intervals(
    database: LabelingDatabase,
) -> None:
    empty = look(database).online
    assert empty
    assert empty.sentence == ""
    say(database, NEXT, up=9, down=1, other=NEW, kind="blind")
    say(database, NEW, up=7, down=3, other=NEXT, kind="blind")
    say(database, NEW, down=50)  # not while they were compared
    say(database, NEXT, other=NEW, up=2, down=0, kind="choice")
    say(database, NEW, other=NEXT, up=1, down=3, kind="choice")
    found = look(database).online
    assert found
    assert found.choices == Counted(5, 1)
    assert str(found.by_choices).startswith("0.833 [")
    # 0.5 + (0.3 − 0.1) / 2; the ends of the two intervals, each of half the error
    (low, high), (their_low, their_high) = (
        share_interval(Counted(*each), 0.025) for each in ((1, 9), (3, 7))
    )
    assert found.by_thumbs.share == pytest.approx(0.6)
    ends = (0.5 + (their_low - high) / 2, 0.5 + (their_high - low) / 2)
    assert (found.by_thumbs.low, found.by_thumbs.high) == pytest.approx(ends)
    assert found.by_thumbs.low < 0.6 < found.by_thumbs.high
    assert found.sentence.startswith("against m/2: by choices 0.833 [")
    assert found.sentence.endswith("of 10 people and 10 people")
