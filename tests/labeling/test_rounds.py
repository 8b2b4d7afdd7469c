"""Rounds: published once, closed when enough is ranked, and read back with how each ranking was made."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from alignloop.labeling import assignments, rounds
from alignloop.labeling.assignments import SubmissionContent
from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError
from alignloop.labeling.schema import Round, Submission
from tests.labeling.conftest import ASSIGNMENT_SETTINGS, assign_next, publish, rank, samples

Join = Callable[..., str]


def test_publishing_other_samples_restarts_a_round_and_keeps_rankings_of_unchanged_samples(
    database: LabelingDatabase, join: Join
) -> None:
    ada = join("ada")
    assert rounds.publish(database, "r1", samples(3), overlap=1, enough=1.0, deadline_hours=None)
    rank(database, ada, 1, 2, 3)
    assert not rounds.publish(database, "r1", samples(3), overlap=1, enough=1.0, deadline_hours=None)
    changed = [samples(3)[0], *samples(3, word="other")[1:]]
    assert rounds.publish(database, "r1", changed, overlap=1, enough=1.0, deadline_hours=None)
    with database.reading() as session:
        state = rounds.progress(session, "r1")
        assert (state.wanted, state.done, state.enough) == (3, 1, False)
    rank(database, ada, 2, 1, 1)
    rank(database, ada, 1, 1, 1)
    with database.reading() as session:
        assert rounds.progress(session, "r1").enough
        made = list(rounds.rankings(session, "r1"))
    assert sorted(text for ranking in made for text in ranking.responses) == sorted(
        text for each in changed for text in each.responses
    )


def test_after_its_deadline_a_round_is_complete_with_the_configured_share_of_rankings(
    database: LabelingDatabase, join: Join
) -> None:
    rounds.publish(database, "r1", samples(4), overlap=1, enough=0.5, deadline_hours=1.0)
    ada = join("ada")
    rank(database, ada, 1, 2, 3)
    with database.writing() as session:
        session.get_one(Round, "r1").deadline = time.time() - 1
    with database.reading() as session:
        assert not rounds.progress(session, "r1").enough  # one of four
    rank(database, ada, 1, 2, 3)
    with database.reading() as session:
        assert rounds.progress(session, "r1").enough
    with database.writing() as session:
        session.get_one(Round, "r1").deadline = time.time() + 60
    with database.reading() as session:
        assert not rounds.progress(session, "r1").enough


def test_rankings_state_labeler_presented_order_and_time_and_are_final_once_the_round_is_closed(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=1, overlap=2)
    ada, bob = join("ada"), join("bob")
    assert assign_next(database, bob) is not None
    rank(database, ada, 2, 1, 2)
    with database.writing() as session:
        rounds.close(session, "r1", "pipeline")
    rank(database, bob, 1, 2, 3)  # too late for the round, and kept
    with database.reading() as session:
        [ranking] = rounds.rankings(session, "r1")
    assert (ranking.labeler, ranking.kind, ranking.ranks, ranking.round, ranking.policy) == (
        ada,
        "person",
        (2, 1, 2),
        "r1",
        "models/sft",
    )
    assert ranking.labeling is not None
    assert sorted(ranking.labeling.presented) == [0, 1, 2]
    assert ranking.labeling.guidelines == "g-1"
    assert 0 <= ranking.labeling.seconds < 60
    assert ranking.time.endswith("+00:00")


@pytest.mark.parametrize("ahead", [3500.0, -3500.0])
def test_an_acknowledged_ranking_is_in_the_round_whatever_the_clocks_said(
    database: LabelingDatabase, join: Join, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    publish(database, count=3)
    ada = join("ada")
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(assignments.time, "time", lambda: now + ahead)
        for _ in range(2):
            rank(database, ada, 1, 2, 3)
    with database.reading() as session:
        assert rounds.progress(session, "r1").done == 2
    with database.writing() as session:
        rounds.close(session, "r1", "labeler-boss")
    with monkeypatch.context() as patch:
        patch.setattr(assignments.time, "time", lambda: now - 5000)
        late = assignments.assign(database, join("bob"), "rank", "work", ASSIGNMENT_SETTINGS)
    assert late is None, "nothing of a closed round is assigned"
    with database.reading() as session:
        assert len(list(rounds.rankings(session, "r1"))) == 2


def test_a_ranking_after_the_close_stays_out_whatever_the_clocks_said_until_the_round_is_restarted(
    database: LabelingDatabase, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(database, count=2)
    ada = join("ada")
    assert assign_next(database, ada) is not None
    with database.writing() as session:
        rounds.close(session, "r1", "labeler-boss")
    past = time.time() - 5000
    assignment = assign_next(database, ada)
    assert assignment is not None, "the open assignment can be finished"
    with monkeypatch.context() as patch:
        patch.setattr(assignments.time, "time", lambda: past)
        assert assignments.submit(database, assignment, ada, SubmissionContent(ranks=(1, 2, 3)), "g-1")
    with database.reading() as session:
        assert list(rounds.rankings(session, "r1")) == []
    rounds.publish(database, "r1", samples(3), overlap=1, enough=1.0, deadline_hours=None)
    with database.reading() as session:
        assert len(list(rounds.rankings(session, "r1"))) == 1


def test_submissions_sent_while_a_round_closes_are_in_it_or_late_and_never_lost(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=40)
    people = [join(f"p{number}") for number in range(8)]

    def work(who: str) -> None:
        for _ in range(5):
            assignment = assign_next(database, who)
            if assignment is not None:
                assignments.submit(database, assignment, who, SubmissionContent(ranks=(1, 2, 3)), "g-1")

    with ThreadPoolExecutor(9) as pool:
        done = [pool.submit(work, who) for who in people]
        time.sleep(0.1)
        with database.writing() as session:
            rounds.close(session, "r1", "labeler-boss")
            session.flush()
        with database.reading() as session:
            snapshot = {each.id for each in rounds.rankings(session, "r1")}
        for each in done:
            each.result()
    with database.reading() as session:
        assert {each.id for each in rounds.rankings(session, "r1")} == snapshot
        late = session.scalars(select(Submission.late)).all()
    assert len(late) - sum(late) == len(snapshot)


def test_unpublished_rounds_and_reserved_round_names_are_refused(database: LabelingDatabase) -> None:
    with (
        pytest.raises(LabelingDatabaseError, match="round r7 was never published; run `dvc repro label@r7`"),
        database.reading() as session,
    ):
        rounds.progress(session, "r7")
    with pytest.raises(LabelingDatabaseError, match=r"rounds.gold: the labeling database reserves this name"):
        rounds.publish(database, "gold", samples(1), overlap=1, enough=1.0, deadline_hours=None)
