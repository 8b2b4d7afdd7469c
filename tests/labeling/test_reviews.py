"""Reviews: each reviewer votes once on a pair; the votes give a win rate; a decision ends the review."""

import pytest
from sqlalchemy import select

from alignloop.labeling import accounts, assignments, qualification, reviews
from alignloop.labeling.assignments import SubmissionContent
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.reviews import Pair
from alignloop.labeling.schema import Assignment
from alignloop.records import Message, Prompt
from tests.labeling.conftest import ASSIGNMENT_SETTINGS


def pairs(count: int, identical: int = 0) -> list[Pair]:
    result = []
    for number in range(count):
        prompt = Prompt(
            id=f"p{number}",
            messages=(Message(role="user", content=f"Question {number}?"),),
            user="u",
            source="test",
        )
        result.append(
            Pair(
                prompt,
                f"mine {number}",
                f"theirs {number}" if number < count - identical else f"mine {number}",
            )
        )
    return result


def publish(database: LabelingDatabase, compared: list[Pair], votes: int = 2, id: str = "hash-1") -> None:
    reviews.publish(
        database,
        id,
        candidate="m/2",
        other="m/1",
        pairs=compared,
        votes=votes,
        report={"wins": {}},
    )


def join(database: LabelingDatabase, name: str, role: accounts.Role = "reviewer") -> str:
    accounts.invite(database, f"labeler-{name}", role, "test")
    return f"labeler-{name}"


def assign(database: LabelingDatabase, who: str) -> int | None:
    return assignments.assign(database, who, "rank", "review", ASSIGNMENT_SETTINGS)


def vote(database: LabelingDatabase, who: str, *ranks: int) -> None:
    assignment = assign(database, who)
    assert assignment is not None
    assert assignments.submit(database, assignment, who, SubmissionContent(ranks=ranks), "g")


def test_outcomes_are_mean_votes_by_prompt_and_identical_responses_count_as_ties_without_votes(
    database: LabelingDatabase,
) -> None:
    publish(database, pairs(3, identical=1))
    ada, bob = join(database, "ada"), join(database, "bob")
    with database.reading() as session:
        assert (reviews.count_remaining(session, ada), reviews.tally(session, "hash-1").outcomes) == (2, [])
    vote(database, ada, 1, 2)
    vote(database, ada, 2, 1)
    vote(database, bob, 1, 1)
    assert assign(database, ada) is None, "nobody votes twice on a pair"
    with database.reading() as session:
        found = reviews.tally(session, "hash-1")
        assert (reviews.count_remaining(session, ada), reviews.count_remaining(session, bob)) == (0, 1)
    assert (found.votes, found.wanted, found.reviewers) == (3, 4, 2)
    assert found.outcomes == [0.75, 0.0, 0.5], "a win and a tie, a loss, and the identical pair"
    qualification.set_status(database, bob, "excluded", "test")
    with database.reading() as session:
        assert reviews.tally(session, "hash-1").outcomes == [1.0, 0.0, 0.5]


def test_only_reviewers_and_administrators_review_and_need_no_quiz(database: LabelingDatabase) -> None:
    publish(database, pairs(1))
    assert assign(database, join(database, "l", "labeler")) is None
    assert assign(database, join(database, "r", "reviewer"))
    assert assign(database, join(database, "a", "admin"))
    assert assignments.assign(database, "labeler-r", "rank", "work", ASSIGNMENT_SETTINGS) is None, (
        "a reviewer who passed no quiz does not label"
    )


def test_the_order_of_the_two_responses_is_shuffled_for_each_reviewer(database: LabelingDatabase) -> None:
    publish(database, pairs(6), votes=3)
    for name in ("ada", "bob", "eve"):
        who = join(database, name)
        for _ in range(6):
            vote(database, who, 1, 2)
    with database.reading() as session:
        shown = {
            (assignment.labeler, assignment.item): tuple(assignment.presented)
            for assignment in session.scalars(select(Assignment))
        }
    by_reviewer = [
        [places for (who, _), places in shown.items() if who == f"labeler-{name}"]
        for name in ("ada", "bob", "eve")
    ]
    assert all({(0, 1), (1, 0)} == set(places) for places in by_reviewer)
    assert len({tuple(places) for places in by_reviewer}) == 3


def test_publishing_the_same_pairs_again_keeps_their_votes_and_other_pairs_start_a_new_review(
    database: LabelingDatabase,
) -> None:
    publish(database, pairs(2), votes=1)
    ada = join(database, "ada")
    vote(database, ada, 1, 2)
    publish(database, pairs(2), votes=1)
    with database.reading() as session:
        assert reviews.tally(session, "hash-1").votes == 1
    publish(database, pairs(3), votes=1, id="hash-2")
    with database.reading() as session:
        plan = reviews.newest(session)
        assert plan
        assert (plan.id, reviews.count_remaining(session, ada)) == ("hash-2", 3), (
            "an earlier review has ended"
        )


def test_a_decision_ends_the_review_and_the_pipeline_continues_once(database: LabelingDatabase) -> None:
    publish(database, pairs(2))
    ada = join(database, "ada")
    assert reviews.claim_decided(database) == []
    reviews.close(database, "hash-1", "labeler-boss", "approve: good")
    assert assign(database, ada) is None
    assert reviews.claim_decided(database) == ["m/2"]
    assert reviews.claim_decided(database) == []
    reviews.close(database, "unknown", "labeler-boss", "approve: good")  # decided without a review
    with pytest.raises(ValueError, match="ranks"):
        assignments.submit(database, _assigned(database), "labeler-bob", SubmissionContent(ranks=[1, 3]), "g")


def _assigned(database: LabelingDatabase) -> int:
    publish(database, pairs(1), id="hash-3")
    assignment = assign(database, join(database, "bob"))
    assert assignment is not None
    return assignment
