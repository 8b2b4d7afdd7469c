"""Items are assigned to one labeler at a time, shuffled; no submission is lost or duplicated."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from alignloop.labeling import assignments, rounds
from alignloop.labeling.assignments import AssignmentNotFound, SubmissionContent
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.item_selection import AssignmentSettings
from alignloop.labeling.qualification import set_status
from alignloop.labeling.schema import Assignment, Item, Submission
from alignloop.records import Ranking
from tests.labeling.conftest import ASSIGNMENT_SETTINGS, assign_next, publish, rank, samples

Join = Callable[..., str]
SHORT = AssignmentSettings(lease_minutes=0, gold_share=0, repeated_share=0)


def test_each_item_is_assigned_to_as_many_labelers_as_wanted_and_to_none_twice(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=3, overlap=2)
    people = [join(name) for name in ("ada", "bob", "eve")]
    given = {who: [] for who in people}
    for _ in range(2):
        for who in people:
            assignment = rank(database, who, 1, 2, 2)
            with database.reading() as session:
                given[who].append(session.get_one(Assignment, assignment).item)
    assert all(len(set(items)) == len(items) for items in given.values())
    assert Counter(item for items in given.values() for item in items) == {1: 2, 2: 2, 3: 2}
    assert [assign_next(database, who) for who in people] == [None, None, None]


def test_the_open_assignment_is_returned_again_and_the_presented_order_differs_by_labeler(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=1, k=9, overlap=6)
    orders = []
    for number in range(6):
        who = join(f"n{number}")
        assignment = assign_next(database, who)
        assert assignment
        assert assign_next(database, who) == assignment
        with database.reading() as session:
            work = assignments.assigned_item(session, assignment, who)
        assert sorted(work.presented) == list(range(9))
        orders.append(tuple(work.presented))
    assert len(set(orders)) == 6


def test_an_expired_item_is_assigned_to_another_and_the_late_submission_is_saved(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=1)
    ada, bob = join("ada"), join("bob")
    first = assign_next(database, ada, SHORT)
    assert first
    assert assignments.save_draft(database, first, ada, {"ranks": {"0": 1}}, SHORT)
    assert assign_next(database, bob) is not None
    assert assignments.submit(database, first, ada, SubmissionContent(ranks=(1, 2, 3)), "g")
    rank(database, bob, 3, 2, 1)
    with database.reading() as session:
        assert {answer.labeler: answer.ranks for answer in session.scalars(select(Submission))} == {
            ada: [1, 2, 3],
            bob: [3, 2, 1],
        }
        item = session.get_one(Item, 1)
        assert (item.taken, item.done) == (0, 2)
        assert rounds.progress(session, "r1").missing == 0


def test_the_draft_of_an_expired_assignment_is_there_when_the_labeler_returns(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=2)
    ada = join("ada")
    assignment = assign_next(database, ada, SHORT)
    assert assignment
    assignments.save_draft(database, assignment, ada, {"ranks": {"0": 2}}, SHORT)
    assert assign_next(database, ada) == assignment
    with database.reading() as session:
        assert assignments.assigned_item(session, assignment, ada).draft == {"ranks": {"0": 2}}
        assert session.get_one(Item, 1).taken == 1


def test_a_second_submission_changes_nothing(database: LabelingDatabase, join: Join) -> None:
    publish(database, count=1)
    ada = join("ada")
    assignment = rank(database, ada, 1, 2, 3)
    assert not assignments.submit(database, assignment, ada, SubmissionContent(ranks=(3, 2, 1)), "g")
    assert not assignments.save_draft(database, assignment, ada, {"ranks": {}}, ASSIGNMENT_SETTINGS)
    with database.reading() as session:
        assert [answer.ranks for answer in session.scalars(select(Submission))] == [[1, 2, 3]]
        assert session.get_one(Item, 1).done == 1


def test_two_tabs_that_rate_at_once_keep_both_ratings(database: LabelingDatabase, join: Join) -> None:
    publish(database, count=1)
    ada = join("ada")
    assignment = assign_next(database, ada)
    assert assignment
    for place in ("0", "1"):
        assert assignments.save_draft(
            database, assignment, ada, {"active": 1.0}, ASSIGNMENT_SETTINGS, ratings={place: {"overall": 4}}
        )
    with database.reading() as session:
        assert assignments.assigned_item(session, assignment, ada).draft == {
            "active": 1.0,
            "ratings": {"0": {"overall": 4}, "1": {"overall": 4}},
        }


def test_concurrent_clicks_leave_one_open_assignment_and_one_submission(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=6)
    ada = join("ada")
    with ThreadPoolExecutor(4) as clicks:
        for _ in range(3):
            taken = set(clicks.map(lambda _: assign_next(database, ada), range(4)))
            assert len(taken) == 1
            assignment = taken.pop() or 0
            kept = list(
                clicks.map(
                    lambda first, assignment=assignment: assignments.submit(
                        database, assignment, ada, SubmissionContent(ranks=(1, 2, first)), "g"
                    ),
                    (1, 2, 3, 2),
                )
            )
            assert sorted(kept) == [False, False, False, True]
    with database.reading() as session:
        assert len(session.scalars(select(Submission)).all()) == 3
        assert sorted(item.done for item in session.scalars(select(Item))) == [0, 0, 0, 1, 1, 1]
        assert {item.taken for item in session.scalars(select(Item))} == {0}


def test_nobody_can_use_another_labelers_assignment(database: LabelingDatabase, join: Join) -> None:
    publish(database, count=1)
    ada, bob = join("ada"), join("bob")
    assignment = assign_next(database, ada)
    assert assignment
    for number in (assignment, assignment + 1):
        with pytest.raises(AssignmentNotFound), database.reading() as session:
            assignments.assigned_item(session, number, bob)
        with pytest.raises(AssignmentNotFound):
            assignments.submit(database, number, bob, SubmissionContent(ranks=(1, 2, 3)), "g")
        with pytest.raises(AssignmentNotFound):
            assignments.save_draft(database, number, bob, {}, ASSIGNMENT_SETTINGS)


@pytest.mark.parametrize("ranks", [(1, 2), (1, 3, 3), (0, 1, 2), (2, 2, 2)])
def test_ranks_that_are_not_a_weak_order_are_refused(
    database: LabelingDatabase, join: Join, ranks: tuple[int, ...]
) -> None:
    publish(database, count=1)
    ada = join("ada")
    assignment = assign_next(database, ada)
    assert assignment
    with pytest.raises(ValueError, match="rank"):
        assignments.submit(database, assignment, ada, SubmissionContent(ranks=ranks), "g")
    assert assignments.submit(database, assignment, ada, SubmissionContent(ranks=(1, 1, 1)), "g")


def test_a_skipped_item_is_assigned_to_another_and_retired_after_two_skips(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=1)
    for who in (join("ada"), join("bob")):
        assignment = assign_next(database, who)
        assert assignment
        assignments.submit(database, assignment, who, SubmissionContent(skipped="unclear"), "g")
    assert assign_next(database, join("eve")) is None
    with database.reading() as session:
        assert rounds.progress(session, "r1").wanted == 0


def test_unqualified_or_excluded_labelers_get_no_work_and_excluded_rankings_are_wanted_again(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=1)
    ada, bob = join("ada"), join("bob", qualified=None)
    rank(database, ada, 1, 2, 3)
    assert assign_next(database, bob) is None
    set_status(database, ada, "excluded", "labeler-boss")
    with database.reading() as session:
        assert rounds.progress(session, "r1").missing == 1
        assert list(rounds.rankings(session, "r1")) == []
    assert assign_next(database, ada) is None
    assert assign_next(database, join("eve")) is not None
    set_status(database, ada, "active", "labeler-boss")
    with database.reading() as session:
        assert rounds.progress(session, "r1").missing == 0


def test_gold_items_and_repeats_have_their_configured_shares_and_count_for_no_round(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=30)
    prompt = samples(1)[0].prompt
    sure = [
        Ranking(
            id=f"g{n}",
            prompt=prompt,
            responses=("a", "b"),
            ranks=(2, 1),
            labeler="x",
            kind="person",
            policy="",
            round="",
        )
        for n in range(40)
    ]
    rounds.publish_known_rankings(database, "gold", sure)
    ada, kinds = join("ada"), Counter[str]()
    mixing = AssignmentSettings(lease_minutes=10, gold_share=0.25, repeated_share=0.25)
    while (assignment := assign_next(database, ada, mixing)) is not None:
        with database.reading() as session:
            work = assignments.assigned_item(session, assignment, ada)
        kinds[f"{work.purpose} {work.attempt}"] += 1
        assignments.submit(
            database, assignment, ada, SubmissionContent(ranks=(1, 2, 2)[: len(work.responses)]), "g"
        )
    assert kinds["work 1"] == 30
    assert 6 <= kinds["gold 1"] <= 30
    assert 5 <= kinds["work 2"] <= 25
    with database.reading() as session:
        assert len(list(rounds.rankings(session, "r1"))) == 30


def test_concurrent_labelers_submit_exactly_the_wanted_number_for_each_item(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=12, overlap=2)
    people = [join(f"n{number}") for number in range(6)]
    failed: list[BaseException] = []

    def work(who: str) -> None:
        try:
            while (assignment := assign_next(database, who)) is not None:
                assert assignments.submit(database, assignment, who, SubmissionContent(ranks=(1, 2, 3)), "g")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=[who]) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for who in people:  # on PostgreSQL one may have seen only items that another transaction held
        work(who)
    with database.reading() as session:
        answers = session.scalars(select(Submission)).all()
        assert Counter(answer.item for answer in answers) == dict.fromkeys(range(1, 13), 2)
        assert len({(answer.item, answer.labeler) for answer in answers}) == 24
        assert {item.taken for item in session.scalars(select(Item))} == {0}
