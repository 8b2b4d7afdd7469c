"""Labeler agreement as worked by hand, in the qualification quiz and on the administrator's page."""

from collections.abc import Callable

import pytest

from alignloop.core.labeler_agreement import agreement
from alignloop.labeling import assignments, quality, rounds
from alignloop.labeling.assignments import SubmissionContent
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.qualification import grade_quiz
from alignloop.labeling.schema import Labeler
from alignloop.records import Ranking
from tests.labeling.conftest import ASSIGNMENT_SETTINGS, publish, rank, samples

Join = Callable[..., str]


def known(count: int) -> list[Ranking]:
    return [
        Ranking(
            id=f"q{n}",
            prompt=each.prompt,
            responses=each.responses,
            ranks=(1, 2, 3),
            labeler="x",
            kind="person",
            policy="",
            round="",
        )
        for n, each in enumerate(samples(count))
    ]


@pytest.mark.parametrize("second", [(1, 2, 3), (1, 2, 2), (3, 1, 2), (3, 2, 1)])
def test_the_quiz_decides_who_is_assigned_work(
    database: LabelingDatabase, join: Join, second: tuple[int, ...]
) -> None:
    publish(database)
    rounds.publish_known_rankings(database, "quiz", known(2))
    ada = join("ada", qualified=None)
    for ranks in ((1, 2, 3), second):
        assignment = assignments.assign(database, ada, "rank", "quiz", ASSIGNMENT_SETTINGS)
        assert assignment
        assert grade_quiz(database, ada, 0.75) is None
        assignments.submit(database, assignment, ada, SubmissionContent(ranks=ranks), "g")
    assert assignments.assign(database, ada, "rank", "quiz", ASSIGNMENT_SETTINGS) is None
    expected = (3 + agreement((1, 2, 3), second)[0]) / 6
    assert grade_quiz(database, ada, 0.75) == pytest.approx(expected)
    with database.reading() as session:
        assert session.get_one(Labeler, ada).qualified is (expected >= 0.75)
    assert (assignments.assign(database, ada, "rank", "work", ASSIGNMENT_SETTINGS) is not None) is (
        expected >= 0.75
    )


def test_each_labelers_quality_has_the_agreement_with_others(database: LabelingDatabase, join: Join) -> None:
    publish(database, count=1, overlap=3)
    ada, bob, eve = (join(name) for name in ("ada", "bob", "eve"))
    rank(database, ada, 1, 2, 3)
    rank(database, bob, 1, 2, 3)
    rank(database, eve, 3, 2, 1)
    with database.reading() as session:
        by_id = {each.id: each for each in quality.labeler_quality(session, "r1")}
        round_alpha = quality.round_alpha(session, "r1")
    assert (by_id[ada].others_agreement, by_id[eve].others_agreement) == ((3, 6), (0, 6))
    assert (by_id[ada].done, by_id[ada].skipped) == (1, 0)
    assert round_alpha is not None
    assert -1 < round_alpha < 1
