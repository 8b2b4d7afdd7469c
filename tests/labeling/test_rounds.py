"""A round is published once, closes when enough is ranked, and gives back what people ranked, with how they came to it."""

import time
from collections.abc import Callable

import pytest

from alignloop.labeling import rounds
from alignloop.labeling.database import Store, StoreError
from alignloop.labeling.schema import Round
from tests.labeling.conftest import publish, rank, samples, take

Join = Callable[..., str]


def test_a_round_is_published_once_and_other_samples_begin_it_anew_with_what_was_ranked_of_the_same(
    store: Store, join: Join
) -> None:
    ada = join("ada")
    assert rounds.publish(store, "r1", samples(3), 1, 1.0, None)
    rank(store, ada, 1, 2, 3)
    assert not rounds.publish(store, "r1", samples(3), 1, 1.0, None)
    changed = [samples(3)[0], *samples(3, word="other")[1:]]
    assert rounds.publish(store, "r1", changed, 1, 1.0, None)
    with store.reading() as session:
        state = rounds.progress(session, "r1")
        assert (state.wanted, state.done, state.enough) == (3, 1, False)
    rank(store, ada, 2, 1, 1)
    rank(store, ada, 1, 1, 1)
    with store.reading() as session:
        assert rounds.progress(session, "r1").enough
        made = list(rounds.rankings(session, "r1"))
    assert sorted(text for ranking in made for text in ranking.responses) == sorted(
        text for each in changed for text in each.responses
    )


def test_a_deadline_lets_a_round_go_on_with_enough_and_not_before(store: Store, join: Join) -> None:
    rounds.publish(store, "r1", samples(4), 1, 0.5, 1.0)
    ada = join("ada")
    rank(store, ada, 1, 2, 3)
    with store.writing() as session:
        session.get_one(Round, "r1").deadline = time.time() - 1
    with store.reading() as session:
        assert not rounds.progress(session, "r1").enough  # one of four
    rank(store, ada, 1, 2, 3)
    with store.reading() as session:
        assert rounds.progress(session, "r1").enough
    with store.writing() as session:
        session.get_one(Round, "r1").deadline = time.time() + 60
    with store.reading() as session:
        assert not rounds.progress(session, "r1").enough


def test_a_snapshot_has_who_ranked_what_they_saw_and_when_and_does_not_change_once_closed(
    store: Store, join: Join
) -> None:
    publish(store, count=1, overlap=2)
    ada, bob = join("ada"), join("bob")
    assert take(store, bob) is not None
    rank(store, ada, 2, 1, 2)
    with store.writing() as session:
        rounds.close(session, "r1", "pipeline")
    rank(store, bob, 1, 2, 3)  # too late for the round, and kept
    with store.reading() as session:
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


def test_what_was_never_published_or_has_a_name_of_ours_is_refused(store: Store) -> None:
    with (
        pytest.raises(StoreError, match="round r7 was never published; run `dvc repro label@r7`"),
        store.reading() as session,
    ):
        rounds.progress(session, "r7")
    with pytest.raises(StoreError, match=r"rounds.gold: the labeling store keeps this name"):
        rounds.publish(store, "gold", samples(1), 1, 1.0, None)
