"""Items are lent once, to one labeler at a time, shuffled; nothing that a labeler sends is lost or doubled."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from alignloop.labeling import assignments, rounds
from alignloop.labeling.assignments import Given, Lending, NotYours
from alignloop.labeling.database import Store
from alignloop.labeling.qualification import stand
from alignloop.labeling.schema import Answer, Assignment, Item
from alignloop.records import Ranking
from tests.labeling.conftest import LENDING, publish, rank, samples, take

Join = Callable[..., str]
SHORT = Lending(minutes=0, gold=0, repeated=0)


def test_each_item_goes_to_as_many_labelers_as_wanted_and_to_none_twice(store: Store, join: Join) -> None:
    publish(store, count=3, overlap=2)
    people = [join(name) for name in ("ada", "bob", "eve")]
    given = {who: [] for who in people}
    for _ in range(2):
        for who in people:
            lent = rank(store, who, 1, 2, 2)
            with store.reading() as session:
                given[who].append(session.get_one(Assignment, lent).item)
    assert all(len(set(items)) == len(items) for items in given.values())
    assert Counter(item for items in given.values() for item in items) == {1: 2, 2: 2, 3: 2}
    assert [take(store, who) for who in people] == [None, None, None]


def test_what_is_in_hand_comes_back_and_the_order_shown_is_each_labelers_own(
    store: Store, join: Join
) -> None:
    publish(store, count=1, k=9, overlap=6)
    orders = []
    for number in range(6):
        who = join(f"n{number}")
        lent = take(store, who)
        assert lent
        assert take(store, who) == lent
        with store.reading() as session:
            work = assignments.look(session, lent, who)
        assert sorted(work.presented) == list(range(9))
        orders.append(tuple(work.presented))
    assert len(set(orders)) == 6


def test_an_expired_item_goes_to_another_and_what_the_first_sends_all_the_same_is_kept(
    store: Store, join: Join
) -> None:
    publish(store, count=1)
    ada, bob = join("ada"), join("bob")
    first = take(store, ada, SHORT)
    assert first
    assert assignments.save_draft(store, first, ada, {"ranks": {"0": 1}}, SHORT)
    assert take(store, bob) is not None
    assert assignments.give(store, first, ada, Given(ranks=(1, 2, 3)), "g")
    rank(store, bob, 3, 2, 1)
    with store.reading() as session:
        assert {answer.labeler: answer.ranks for answer in session.scalars(select(Answer))} == {
            ada: [1, 2, 3],
            bob: [3, 2, 1],
        }
        item = session.get_one(Item, 1)
        assert (item.taken, item.done) == (0, 2)
        assert rounds.progress(session, "r1").missing == 0


def test_a_closed_browser_loses_nothing_the_draft_is_there_when_the_labeler_comes_back(
    store: Store, join: Join
) -> None:
    publish(store, count=2)
    ada = join("ada")
    lent = take(store, ada, SHORT)
    assert lent
    assignments.save_draft(store, lent, ada, {"ranks": {"0": 2}}, SHORT)
    assert take(store, ada) == lent
    with store.reading() as session:
        assert assignments.look(session, lent, ada).draft == {"ranks": {"0": 2}}
        assert session.get_one(Item, 1).taken == 1


def test_a_second_submission_changes_nothing(store: Store, join: Join) -> None:
    publish(store, count=1)
    ada = join("ada")
    lent = rank(store, ada, 1, 2, 3)
    assert not assignments.give(store, lent, ada, Given(ranks=(3, 2, 1)), "g")
    assert not assignments.save_draft(store, lent, ada, {"ranks": {}}, LENDING)
    with store.reading() as session:
        assert [answer.ranks for answer in session.scalars(select(Answer))] == [[1, 2, 3]]
        assert session.get_one(Item, 1).done == 1


def test_two_tabs_that_rate_at_once_keep_both_ratings(store: Store, join: Join) -> None:
    publish(store, count=1)
    ada = join("ada")
    lent = take(store, ada)
    assert lent
    for place in ("0", "1"):
        assert assignments.save_draft(store, lent, ada, {"active": 1.0}, LENDING, {place: {"overall": 4}})
    with store.reading() as session:
        assert assignments.look(session, lent, ada).draft == {
            "active": 1.0,
            "ratings": {"0": {"overall": 4}, "1": {"overall": 4}},
        }


def test_two_clicks_at_the_same_moment_leave_one_item_in_hand_and_one_answer(
    store: Store, join: Join
) -> None:
    publish(store, count=6)
    ada = join("ada")
    with ThreadPoolExecutor(4) as clicks:
        for _ in range(3):
            taken = set(clicks.map(lambda _: take(store, ada), range(4)))
            assert len(taken) == 1
            lent = taken.pop() or 0
            kept = list(
                clicks.map(
                    lambda first, lent=lent: assignments.give(
                        store, lent, ada, Given(ranks=(1, 2, first)), "g"
                    ),
                    (1, 2, 3, 2),
                )
            )
            assert sorted(kept) == [False, False, False, True]
    with store.reading() as session:
        assert len(session.scalars(select(Answer)).all()) == 3
        assert sorted(item.done for item in session.scalars(select(Item))) == [0, 0, 0, 1, 1, 1]
        assert {item.taken for item in session.scalars(select(Item))} == {0}


def test_nobody_reaches_anothers_item(store: Store, join: Join) -> None:
    publish(store, count=1)
    ada, bob = join("ada"), join("bob")
    lent = take(store, ada)
    assert lent
    for number in (lent, lent + 1):
        with pytest.raises(NotYours), store.reading() as session:
            assignments.look(session, number, bob)
        with pytest.raises(NotYours):
            assignments.give(store, number, bob, Given(ranks=(1, 2, 3)), "g")
        with pytest.raises(NotYours):
            assignments.save_draft(store, number, bob, {}, LENDING)


@pytest.mark.parametrize("ranks", [(1, 2), (1, 3, 3), (0, 1, 2), (2, 2, 2)])
def test_ranks_that_are_no_weak_order_are_refused(store: Store, join: Join, ranks: tuple[int, ...]) -> None:
    publish(store, count=1)
    ada = join("ada")
    lent = take(store, ada)
    assert lent
    with pytest.raises(ValueError, match="rank"):
        assignments.give(store, lent, ada, Given(ranks=ranks), "g")
    assert assignments.give(store, lent, ada, Given(ranks=(1, 1, 1)), "g")


def test_a_skipped_item_goes_to_another_and_after_two_skips_is_wanted_no_more(
    store: Store, join: Join
) -> None:
    publish(store, count=1)
    for who in (join("ada"), join("bob")):
        lent = take(store, who)
        assert lent
        assignments.give(store, lent, who, Given(skipped="unclear"), "g")
    assert take(store, join("eve")) is None
    with store.reading() as session:
        assert rounds.progress(session, "r1").wanted == 0


def test_who_is_not_qualified_paused_or_excluded_gets_no_work_and_what_is_excluded_is_asked_again(
    store: Store, join: Join
) -> None:
    publish(store, count=1)
    ada, bob = join("ada"), join("bob", qualified=None)
    rank(store, ada, 1, 2, 3)
    assert take(store, bob) is None
    stand(store, ada, "excluded", "labeler-boss")
    with store.reading() as session:
        assert rounds.progress(session, "r1").missing == 1
        assert list(rounds.rankings(session, "r1")) == []
    assert take(store, ada) is None
    assert take(store, join("eve")) is not None
    stand(store, ada, "active", "labeler-boss")
    with store.reading() as session:
        assert rounds.progress(session, "r1").missing == 0


def test_gold_and_repeats_are_mixed_in_at_their_shares_and_count_for_no_round(
    store: Store, join: Join
) -> None:
    publish(store, count=30)
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
    rounds.publish_known(store, "gold", sure)
    ada, kinds = join("ada"), Counter[str]()
    mixing = Lending(minutes=10, gold=0.25, repeated=0.25)
    while (lent := take(store, ada, mixing)) is not None:
        with store.reading() as session:
            work = assignments.look(session, lent, ada)
        kinds[f"{work.purpose} {work.attempt}"] += 1
        assignments.give(store, lent, ada, Given(ranks=(1, 2, 2)[: len(work.responses)]), "g")
    assert kinds["work 1"] == 30
    assert 6 <= kinds["gold 1"] <= 30
    assert 5 <= kinds["work 2"] <= 25
    with store.reading() as session:
        assert len(list(rounds.rankings(session, "r1"))) == 30


def test_labelers_at_once_share_the_items_without_one_too_many(store: Store, join: Join) -> None:
    publish(store, count=12, overlap=2)
    people = [join(f"n{number}") for number in range(6)]
    failed: list[BaseException] = []

    def work(who: str) -> None:
        try:
            while (lent := take(store, who)) is not None:
                assert assignments.give(store, lent, who, Given(ranks=(1, 2, 3)), "g")
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
    with store.reading() as session:
        answers = session.scalars(select(Answer)).all()
        assert Counter(answer.item for answer in answers) == dict.fromkeys(range(1, 13), 2)
        assert len({(answer.item, answer.labeler) for answer in answers}) == 24
        assert {item.taken for item in session.scalars(select(Item))} == {0}
