"""A labeler can change a ranking until its round is closed; the newest counts, the audit keeps the others."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from alignloop.labeling import activity, assignments, reopened_rankings, rounds
from alignloop.labeling.assignments import AssignmentNotFound, SubmissionContent
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.exchange import external_rounds
from alignloop.labeling.item_selection import AssignmentSettings
from alignloop.labeling.qualification import set_status
from alignloop.labeling.reopened_rankings import ReopenRefused
from alignloop.labeling.schema import Assignment, Event, Item, Submission
from tests.labeling.conftest import ASSIGNMENT_SETTINGS, assign_next, publish, rank, samples
from tests.labeling.test_quality import known

Join = Callable[..., str]


def change(database: LabelingDatabase, assignment: int, who: str, *ranks: int) -> bool:
    content = SubmissionContent(ranks=ranks, active_seconds=9.0)
    return reopened_rankings.replace(database, assignment, who, content, "g-2")


def made(database: LabelingDatabase) -> list[tuple[int, ...]]:
    with database.reading() as session:
        return [ranking.ranks for ranking in rounds.rankings(session, "r1")]


def test_the_newest_ranking_counts_everywhere_and_the_audit_has_the_earlier_one(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=1)
    ada = join("ada")
    assignment = rank(database, ada, 1, 2, 3)
    assert not change(database, assignment, ada, 3, 2, 1), "it is not reopened"
    reopened_rankings.reopen(database, assignment, ada, {"ranks": {"A": 1}})
    with database.reading() as session:
        work = assignments.assigned_item(session, assignment, ada)
        assert (work.is_editable, work.draft, work.state) == (True, {"ranks": {"A": 1}}, "done")
        assert (rounds.progress(session, "r1").done, session.get_one(Item, 1).taken) == (1, 0)
    assert made(database) == [(1, 2, 3)], "the earlier one counts until another is sent"
    assert assign_next(database, ada) is None
    assert assignments.save_draft(database, assignment, ada, {"ranks": {"A": 2}}, ASSIGNMENT_SETTINGS)
    assert change(database, assignment, ada, 3, 1, 2)
    assert not change(database, assignment, ada, 1, 1, 1), "a second click changes nothing"
    assert made(database) == [(3, 1, 2)]
    with database.reading() as session:
        [item] = external_rounds.round_items(session, "r1", "g", with_rankings=True)
        events = session.scalars(select(Event).order_by(Event.id)).all()
        assert session.get_one(Item, 1).done == 1
        submission = session.get_one(Submission, assignment)
        assert (submission.guidelines, submission.seconds < 60) == ("g-2", True)
        assert activity.count_finished(session, ada) == 1
    assert [each.ranks for each in item.rankings] == [(3, 1, 2)]
    assert [event.action for event in events][-3:] == ["answer", "reopen", "change answer"]
    assert events[-1].details["earlier"]["ranks"] == [1, 2, 3]
    assert events[-1].details["earlier"]["guidelines"] == "g-1"


def test_a_reopened_ranking_can_be_kept_as_it_was(database: LabelingDatabase, join: Join) -> None:
    publish(database, count=1)
    ada = join("ada")
    assignment = rank(database, ada, 1, 2, 3)
    reopened_rankings.reopen(database, assignment, ada, {})
    reopened_rankings.keep(database, assignment, ada)
    assert not change(database, assignment, ada, 3, 2, 1)
    assert made(database) == [(1, 2, 3)]


def test_nothing_changes_once_the_round_is_closed_not_even_what_was_reopened_before(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=2)
    ada = join("ada")
    first, second = rank(database, ada, 1, 2, 3), rank(database, ada, 1, 2, 3)
    reopened_rankings.reopen(database, first, ada, {})
    with database.writing() as session:
        rounds.close(session, "r1", "labeler-boss")
    with pytest.raises(ReopenRefused, match=r"Round r1 is closed.*sent before counts"):
        change(database, first, ada, 3, 2, 1)
    with pytest.raises(ReopenRefused, match="Round r1 is closed: its rankings are final"):
        reopened_rankings.reopen(database, second, ada, {})
    assert made(database) == [(1, 2, 3)] * 2


def test_items_that_measure_agreement_and_those_of_others_keep_their_first_ranking(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=12)
    rounds.publish_known_rankings(database, "gold", known(1))
    rounds.publish_known_rankings(database, "quiz", [known(2)[1]])
    ada, bob = join("ada"), join("bob")
    quiz = assignments.assign(database, ada, "rank", "quiz", ASSIGNMENT_SETTINGS)
    assert quiz
    assignments.submit(database, quiz, ada, SubmissionContent(ranks=(1, 2, 3)), "g")
    gold = rank(database, ada, 1, 2, 3, settings=AssignmentSettings(10, 1.0, 0.0))
    work = [rank(database, ada, 1, 2, 3) for _ in range(11)]
    repeat = rank(database, ada, 1, 2, 3, settings=AssignmentSettings(10, 0.0, 1.0))
    for assignment, words in ((quiz, "quiz"), (gold, "measures agreement"), (repeat, "measures agreement")):
        with pytest.raises(ReopenRefused, match=words):
            reopened_rankings.reopen(database, assignment, ada, {})
        with database.reading() as session:
            assert words in reopened_rankings.refusal(session, assignment, ada)
    with database.reading() as session:
        assert reopened_rankings.refusal(session, work[0], ada) == ""
    with pytest.raises(AssignmentNotFound):
        reopened_rankings.reopen(database, work[0], bob, {})
    set_status(database, ada, "paused", "labeler-boss")
    with pytest.raises(ReopenRefused, match="paused"):
        reopened_rankings.reopen(database, work[0], ada, {})


def test_skips_unfinished_items_and_items_that_left_the_round_cannot_be_reopened(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=2)
    ada = join("ada")
    ranked = rank(database, ada, 1, 2, 3)
    skipped = assign_next(database, ada)
    assert skipped
    with pytest.raises(ReopenRefused, match="Only rankings"):
        reopened_rankings.reopen(database, skipped, ada, {})
    assignments.submit(database, skipped, ada, SubmissionContent(skipped="unclear"), "g")
    with pytest.raises(ReopenRefused, match="Only rankings"):
        reopened_rankings.reopen(database, skipped, ada, {})
    reopened_rankings.reopen(database, ranked, ada, {})
    with pytest.raises(ReopenRefused, match="not skipped"):
        reopened_rankings.replace(database, ranked, ada, SubmissionContent(skipped="unclear"), "g")
    other = samples(2, word="other")
    rounds.publish(database, "r1", other, overlap=1, enough=1.0, deadline_hours=None)
    with pytest.raises(ReopenRefused, match="no longer part of its round"):
        change(database, ranked, ada, 3, 2, 1)


def test_changes_sent_while_a_round_closes_are_in_it_whole_or_refused(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=12)
    people = [join(f"p{number}") for number in range(4)]
    mine = {who: [rank(database, who, 1, 2, 3) for _ in range(3)] for who in people}
    for who, own in mine.items():
        for assignment in own:
            reopened_rankings.reopen(database, assignment, who, {})

    def send(who: str) -> list[bool]:
        sent = []
        for assignment in mine[who]:
            try:
                # two tabs send at once: one of them changes the ranking
                with ThreadPoolExecutor(2) as tabs:
                    both = list(
                        tabs.map(
                            lambda _, assignment=assignment: change(database, assignment, who, 3, 2, 1), "ab"
                        )
                    )
                assert sorted(both) == [False, True]
                sent.append(True)
            except ReopenRefused:
                sent.append(False)
            time.sleep(0.02)
        return sent

    with ThreadPoolExecutor(5) as pool:
        done = [pool.submit(send, who) for who in people]
        time.sleep(0.05)
        with database.writing() as session:
            rounds.close(session, "r1", "labeler-boss")
        snapshot = made(database)
        accepted = sum(sum(each.result()) for each in done)
    assert made(database) == snapshot
    assert sorted(snapshot) == sorted([(3, 2, 1)] * accepted + [(1, 2, 3)] * (12 - accepted))
    with database.reading() as session:
        assert {row.state for row in session.scalars(select(Assignment))} == {"done"}
