"""The hours that a round asks of labelers: as worked by hand, and measured where enough is ranked."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from alignloop import params as parameters
from alignloop.data import record_files
from alignloop.labeling import rounds, workload
from alignloop.labeling.database import DATABASE_FILE, LabelingDatabase
from alignloop.labeling.planned_rounds import announcements
from alignloop.labeling.schema import Submission
from alignloop.labeling.workload import Pace, Workload, estimated_pace, round_workload
from alignloop.params import Params
from tests.labeling.conftest import publish, rank, samples

PROJECT = Path(__file__).parents[2]
Join = Callable[..., str]


def project(**changes: dict[str, object]) -> Params:
    """The project's params for people without gold items and repeats."""
    found = parameters.load(PROJECT / "params.yaml")
    changes = {"label": {"kind": "people"}, "people": {"gold_share": 0.0, "repeated_share": 0.0}} | changes
    return found.model_copy(
        update={name: getattr(found, name).model_copy(update=own) for name, own in changes.items()}
    )


@pytest.mark.parametrize(
    ("ratings", "seconds"), [([], 28), (["overall"], 46), (["overall", "sexual", "violent", "opinion"], 52)]
)
def test_an_estimate_is_reading_ranking_and_rating(ratings: list[str], seconds: float) -> None:
    people = project().people.model_copy(update={"ratings": ratings})
    assert estimated_pace(people, responses=6, characters=250).seconds == pytest.approx(seconds)


def test_a_workload_is_stated_in_minutes_or_hours_with_gold_items_and_repeats() -> None:
    pace = Pace(30, "the median of 214 rankings here")
    assert str(Workload(2300, pace, 0.0)) == (
        "about 19 hours of labelers' time (30 s a ranking, the median of 214 rankings here)"
    )
    assert str(Workload(2300, pace, 0.2)).startswith("about 24 hours")
    assert "20 % of it for gold items and repeats" in str(Workload(2300, pace, 0.2))
    assert str(Workload(300, pace, 0.0)).startswith("about 2.5 hours")
    assert str(Workload(10, pace, 0.0)).startswith("about 5 minutes")


def test_what_is_left_is_estimated_and_then_measured(
    database: LabelingDatabase, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "MIN_MEASURED", 3)
    people = project().people
    publish(database, count=8)
    ada = join("ada")
    with database.reading() as session:
        left = round_workload(session, "r1", people)
    # "Question 0?" and three times "response 0.0": 47 characters, three responses to rank and to rate
    assert (left.rankings, left.pace.seconds) == (8, pytest.approx(47 / 25 + 3 * 6))
    for seconds in (10.0, 20.0, 60.0, None):
        assignment = rank(database, ada, 1, 2, 3)
        with database.writing() as session:
            session.execute(
                update(Submission).where(Submission.assignment == assignment).values(active_seconds=seconds)
            )
    with database.reading() as session:
        left = round_workload(session, "r1", people)
    assert (left.rankings, left.pace.seconds, left.seconds) == (4, 20.0, 80.0)
    assert "the median of 3 rankings here" in str(left)


def test_each_round_is_announced_before_it_is_published_and_again_with_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    params = project(sample={"prompts": 40, "valid_prompts": 10}, label={"kind": "people", "overlap": 2})
    [line] = announcements(tmp_path, params, ["r1"], [])
    assert line.startswith("round r1 asks people: up to 50 items for 2 labelers each, about 88 minutes of")
    assert not (tmp_path / DATABASE_FILE).exists(), "nothing is made to state hours"
    # once drawn, prompts without a choice are no work
    drawn = samples(5)
    drawn[0] = drawn[0].model_copy(update={"responses": ("same", "same")})
    (tmp_path / "data" / "samples").mkdir(parents=True)
    record_files.write(tmp_path / "data" / "samples" / "r1.jsonl", drawn)
    shared = project(label={"kind": {"people": 0.5, "judge": 0.5}, "overlap": 1})
    assert announcements(tmp_path, shared, ["r1"], ["r1"])[0].startswith(
        "round r1 asks people: 2 items, about"
    )
    database = LabelingDatabase(f"sqlite:///{tmp_path / DATABASE_FILE}")
    rounds.publish(database, "r1", drawn, overlap=2, enough=1.0, deadline_hours=None)
    database.close()
    [line] = announcements(tmp_path, params, ["r1"], ["r1"])
    assert line.startswith("round r1: 8 of 8 rankings are missing, about 3 minutes of labelers' time")
    assert announcements(tmp_path, project(label={"kind": "judge"}), ["r1"], ["r1"]) == []
