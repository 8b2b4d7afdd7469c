"""Agreement as worked by hand, and as the quiz and the administrator's page show it."""

from collections.abc import Callable

import pytest

from alignloop.core.labeler_agreement import agreement
from alignloop.labeling import assignments, quality, rounds
from alignloop.labeling.assignments import Given
from alignloop.labeling.database import Store
from alignloop.labeling.qualification import mark_quiz
from alignloop.labeling.schema import Labeler
from alignloop.records import Ranking
from tests.labeling.conftest import LENDING, publish, rank, samples

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
def test_the_quiz_decides_who_may_work(store: Store, join: Join, second: tuple[int, ...]) -> None:
    publish(store)
    rounds.publish_known(store, "quiz", known(2))
    ada = join("ada", qualified=None)
    for ranks in ((1, 2, 3), second):
        lent = assignments.take(store, ada, "rank", "quiz", LENDING)
        assert lent
        assert mark_quiz(store, ada, 0.75) is None
        assignments.give(store, lent, ada, Given(ranks=ranks), "g")
    assert assignments.take(store, ada, "rank", "quiz", LENDING) is None
    expected = (3 + agreement((1, 2, 3), second)[0]) / 6
    assert mark_quiz(store, ada, 0.75) == pytest.approx(expected)
    with store.reading() as session:
        assert session.get_one(Labeler, ada).qualified is (expected >= 0.75)
    assert (assignments.take(store, ada, "rank", "work", LENDING) is not None) is (expected >= 0.75)


def test_each_labelers_record_tells_agreement_with_others(store: Store, join: Join) -> None:
    publish(store, count=1, overlap=3)
    ada, bob, eve = join("ada"), join("bob"), join("eve")
    rank(store, ada, 1, 2, 3)
    rank(store, bob, 1, 2, 3)
    rank(store, eve, 3, 2, 1)
    with store.reading() as session:
        found = {record.id: record for record in quality.records(session, "r1")}
        together = quality.round_alpha(session, "r1")
    assert (found[ada].others, found[eve].others) == ((3, 6), (0, 6))
    assert (found[ada].done, found[ada].skipped) == (1, 0)
    assert together is not None
    assert -1 < together < 1
