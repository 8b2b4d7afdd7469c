"""A round that is ranked in another tool counts as if it were ranked here, once, and nothing that does not fit is taken."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select

from alignloop.data.formats.importer import Refused
from alignloop.labeling import rounds
from alignloop.labeling.database import Store
from alignloop.labeling.exchange import external_rounds
from alignloop.labeling.exchange.items import ExchangeError, Offer, Said
from alignloop.labeling.qualification import stand
from alignloop.labeling.schema import Answer, Event, Item, Labeler
from tests.labeling.conftest import publish, rank, take

Join = Callable[..., str]


def offered(store: Store, answers: bool = False) -> list[Offer]:
    with store.reading() as session:
        return external_rounds.offers(session, "r1", "g-1", answers)


def said(offer: Offer, *ranks: int, by: str = "label-studio-7") -> Offer:
    return replace(offer, said=(Said(by, ranks, 12.5),))


def bring(store: Store, *found: Offer | Refused, leave_out: bool = False) -> external_rounds.Brought:
    return external_rounds.bring(store, "r1", list(enumerate(found, 1)), "back.json", leave_out)


def test_rankings_from_elsewhere_are_the_rounds_with_their_labelers_presented_order_times_and_guidelines(
    store: Store,
) -> None:
    publish(store, count=2)
    first, second = offered(store)
    assert sorted(first.presented) == [0, 1, 2]
    assert "models" not in repr(first)
    brought = bring(store, said(first, 2, 1, 2), said(second, 1, 2, 3, by="argilla-x"))
    assert (brought.rankings, brought.known, brought.labelers) == (2, 0, {"label-studio-7", "argilla-x"})
    with store.reading() as session:
        state = rounds.progress(session, "r1")
        made = list(rounds.rankings(session, "r1"))
        audit = [event.action for event in session.scalars(select(Event).order_by(Event.id))]
        assert session.get_one(Labeler, "label-studio-7").link is None  # nobody can sign in as them
    assert (state.done, state.enough) == (2, True)
    assert [(each.labeler, each.kind, each.ranks) for each in made] == [
        ("label-studio-7", "person", (2, 1, 2)),
        ("argilla-x", "person", (1, 2, 3)),
    ]
    assert made[0].labeling is not None
    assert (made[0].labeling.presented, made[0].labeling.guidelines, made[0].labeling.seconds) == (
        first.presented,
        "g-1",
        12.5,
    )
    assert audit[-3:] == ["import answer", "import answer", "bring from elsewhere"]


def test_what_comes_twice_is_kept_once_and_goes_out_again_as_it_is(store: Store, join: Join) -> None:
    publish(store, count=1, overlap=2)
    ada = join("ada")
    rank(store, ada, 2, 1, 1)
    [offer] = offered(store, answers=True)
    assert [(each.labeler, each.ranks) for each in offer.said] == [(ada, (2, 1, 1))]
    assert bring(store, offer, said(offer, 1, 1, 1), said(offer, 1, 1, 1)).known == 2
    with store.reading() as session:
        assert {answer.labeler: answer.ranks for answer in session.scalars(select(Answer))} == {
            ada: [2, 1, 1],
            "label-studio-7": [1, 1, 1],
        }
        item = session.get_one(Item, 1)
        assert (item.taken, item.done) == (0, 2)


def test_an_item_in_hand_here_is_done_when_its_labeler_ranks_it_there(store: Store, join: Join) -> None:
    publish(store, count=1)
    ada = join("ada")
    assert take(store, ada)
    [offer] = offered(store)
    assert bring(store, said(offer, 1, 2, 3, by=ada)).rankings == 1
    with store.reading() as session:
        item = session.get_one(Item, 1)
        assert (item.taken, item.done) == (0, 1)
    assert take(store, ada) is None


def test_a_skip_there_is_a_skip_here(store: Store) -> None:
    publish(store, count=1)
    [offer] = offered(store)
    brought = bring(
        store, replace(offer, said=(Said("label-studio-7", None, 1.0, "skipped in Label Studio"),))
    )
    assert (brought.rankings, brought.skips) == (0, 1)
    with store.reading() as session:
        assert session.scalars(select(Answer.skipped)).all() == ["skipped in Label Studio"]
        assert rounds.progress(session, "r1").missing == 1


def test_what_does_not_fit_is_refused_with_its_line_and_then_nothing_is_kept_unless_it_is_left_out(
    store: Store, join: Join
) -> None:
    publish(store, count=3)
    eve = join("eve")
    stand(store, eve, "excluded", "labeler-boss")
    good, other, third = offered(store)
    bring(store, said(other, 1, 2, 3))
    found = (
        said(good, 1, 2, 3),
        said(other, 3, 2, 1),
        replace(said(third, 1, 2, 3), responses=("x", "y", "z")),
        replace(said(third, 1, 2, 3), key="r1-p9"),
        replace(said(third, 1, 2, 3), round="r2"),
        said(third, 1, 2, 3, by=eve),
        Refused("items left unranked"),
    )
    with pytest.raises(ExchangeError) as error:
        bring(store, *found)
    lines = str(error.value).splitlines()
    assert [line.split(":")[1] for line in lines[:-1]] == ["2", "3", "4", "5", "6", "7"]
    for words in (
        "before, and otherwise",
        "are not those that went out",
        "is none of those that round r1 asks for",
        "is excluded",
        "unranked",
    ):
        assert words in str(error.value)
    assert lines[-1].startswith("nothing was kept")
    with store.reading() as session:
        assert rounds.progress(session, "r1").done == 1
    brought = bring(store, *found, leave_out=True)
    assert (brought.rankings, len(brought.refused)) == (1, 6)
    with store.reading() as session:
        assert rounds.progress(session, "r1").done == 2


def test_a_round_that_is_closed_or_was_never_published_takes_nothing(store: Store) -> None:
    with pytest.raises(ExchangeError, match="round r1 was never published"):
        offered(store)
    publish(store, count=1)
    [offer] = offered(store)
    with store.writing() as session:
        rounds.close(session, "r1", "test")
    with pytest.raises(
        ExchangeError, match=r"round r1 is closed: its rankings are final; nothing of back\.json was kept"
    ):
        bring(store, said(offer, 1, 2, 3))
    with pytest.raises(ExchangeError, match="round r7 was never published"):
        external_rounds.bring(store, "r7", [], "back.json")
