"""Reviewers vote once on each pair, in an order of their own; the votes make a win rate over prompts; a decision ends the asking."""

import pytest
from sqlalchemy import select

from alignloop.labeling import accounts, assignments, qualification, reviews
from alignloop.labeling.assignments import Given
from alignloop.labeling.database import Store
from alignloop.labeling.reviews import Pair
from alignloop.labeling.schema import Assignment
from alignloop.records import Message, Prompt
from tests.labeling.conftest import LENDING


def pairs(count: int, alike: int = 0) -> list[Pair]:
    made = []
    for number in range(count):
        prompt = Prompt(
            id=f"p{number}",
            messages=(Message(role="user", content=f"Question {number}?"),),
            user="u",
            source="test",
        )
        made.append(
            Pair(prompt, f"mine {number}", f"theirs {number}" if number < count - alike else f"mine {number}")
        )
    return made


def ask(store: Store, given: list[Pair], votes: int = 2, id: str = "hash-1") -> None:
    reviews.publish(store, id, "m/2", "m/1", given, votes, {"wins": {}})


def join(store: Store, name: str, role: accounts.Role = "reviewer") -> str:
    accounts.invite(store, f"labeler-{name}", role, "test")
    return f"labeler-{name}"


def take(store: Store, who: str) -> int | None:
    return assignments.take(store, who, "rank", "review", LENDING)


def vote(store: Store, who: str, *ranks: int) -> None:
    lent = take(store, who)
    assert lent is not None
    assert assignments.give(store, lent, who, Given(ranks=ranks), "g")


def test_votes_make_outcomes_by_prompt_and_what_is_alike_is_a_tie_that_nobody_sees(store: Store) -> None:
    ask(store, pairs(3, alike=1))
    ada, bob = join(store, "ada"), join(store, "bob")
    with store.reading() as session:
        assert (reviews.left(session, ada), reviews.tally(session, "hash-1").outcomes) == (2, [])
    vote(store, ada, 1, 2)
    vote(store, ada, 2, 1)
    vote(store, bob, 1, 1)
    assert take(store, ada) is None, "nobody votes twice on a pair"
    with store.reading() as session:
        found = reviews.tally(session, "hash-1")
        assert (reviews.left(session, ada), reviews.left(session, bob)) == (0, 1)
    assert (found.votes, found.wanted, found.reviewers) == (3, 4, 2)
    assert found.outcomes == [0.75, 0.0, 0.5], "a win and a tie, a loss, and the pair that was alike"
    qualification.stand(store, bob, "excluded", "test")
    with store.reading() as session:
        assert reviews.tally(session, "hash-1").outcomes == [1.0, 0.0, 0.5]


def test_only_reviewers_and_administrators_review_and_need_no_quiz(store: Store) -> None:
    ask(store, pairs(1))
    assert take(store, join(store, "l", "labeler")) is None
    assert take(store, join(store, "r", "reviewer"))
    assert take(store, join(store, "a", "admin"))
    assert assignments.take(store, "labeler-r", "rank", "work", LENDING) is None, (
        "a reviewer who passed no quiz does not label"
    )


def test_which_answer_is_whose_is_shuffled_for_each_reviewer(store: Store) -> None:
    ask(store, pairs(6), votes=3)
    for name in ("ada", "bob", "eve"):
        who = join(store, name)
        for _ in range(6):
            vote(store, who, 1, 2)
    with store.reading() as session:
        shown = {
            (lent.labeler, lent.item): tuple(lent.presented) for lent in session.scalars(select(Assignment))
        }
    by_reviewer = [
        [places for (who, _), places in shown.items() if who == f"labeler-{name}"]
        for name in ("ada", "bob", "eve")
    ]
    assert all({(0, 1), (1, 0)} == set(places) for places in by_reviewer)
    assert len({tuple(places) for places in by_reviewer}) == 3


def test_the_same_pairs_again_keep_their_votes_and_others_begin_anew(store: Store) -> None:
    ask(store, pairs(2), votes=1)
    ada = join(store, "ada")
    vote(store, ada, 1, 2)
    ask(store, pairs(2), votes=1)
    with store.reading() as session:
        assert reviews.tally(session, "hash-1").votes == 1
    ask(store, pairs(3), votes=1, id="hash-2")
    with store.reading() as session:
        plan = reviews.newest(session)
        assert plan
        assert (plan.id, reviews.left(session, ada)) == ("hash-2", 3), (
            "an earlier review asks nobody any more"
        )


def test_a_decision_ends_the_asking_and_the_pipeline_goes_on_once(store: Store) -> None:
    ask(store, pairs(2))
    ada = join(store, "ada")
    assert reviews.claim_decided(store) == []
    reviews.close(store, "hash-1", "labeler-boss", "approve: good")
    assert take(store, ada) is None
    assert reviews.claim_decided(store) == ["m/2"]
    assert reviews.claim_decided(store) == []
    reviews.close(
        store, "unknown", "labeler-boss", "approve: good"
    )  # decided from elsewhere, never reviewed here
    with pytest.raises(ValueError, match="ranks"):
        assignments.give(store, _lent(store), "labeler-bob", Given(ranks=[1, 3]), "g")


def _lent(store: Store) -> int:
    ask(store, pairs(1), id="hash-3")
    lent = take(store, join(store, "bob"))
    assert lent is not None
    return lent
