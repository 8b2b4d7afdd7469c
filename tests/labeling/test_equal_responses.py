"""Equal responses are ranked once: copies tie, no choice is no ranking, agreement stays as it is."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from alignloop.core.labeler_agreement import alpha
from alignloop.labeling import quality, rounds
from alignloop.labeling.agreement_report import measure_agreement
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.equal_responses import copies, once, spread, tie_copies, with_choice
from alignloop.labeling.schema import Item
from alignloop.records import Samples, check_order
from tests.labeling.conftest import rank, samples

Join = Callable[..., str]
TEXTS = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=2, max_size=9)


def drawn(*texts: tuple[str, ...]) -> list[Samples]:
    """Samples with these responses."""
    found = samples(len(texts))
    return [each.model_copy(update={"responses": own}) for each, own in zip(found, texts, strict=True)]


def publish(database: LabelingDatabase, *texts: tuple[str, ...], overlap: int = 1) -> None:
    rounds.publish(database, "r1", drawn(*texts), overlap=overlap, enough=1.0, deadline_hours=None)


def test_copies_are_found_and_values_spread_as_worked_by_hand() -> None:
    texts = ("x", "y", "x", "z", "y")
    assert copies(texts) == [[0, 2], [1, 4], [3]]
    assert once([5, 6, 7, 8, 9], texts) == [5, 6, 8]
    assert spread([2, 1, 3], texts) == [2, 1, 2, 3, 1]
    assert tie_copies([3, 1, 4, 2, 5], texts) == [3, 1, 3, 2, 1]


@given(TEXTS, st.data())
def test_whatever_the_ranks_equal_texts_tie_in_a_weak_order(texts: list[str], data: st.DataObject) -> None:
    ranks = data.draw(st.lists(st.integers(1, 9), min_size=len(texts), max_size=len(texts)))
    tied = tie_copies(ranks, texts)
    check_order(tuple(tied), len(texts))
    assert len(set(zip(texts, tied, strict=True))) == len(set(texts))
    assert tie_copies(tied, texts) == tied
    assert spread(once(tied, texts), texts) == tied


def test_a_prompt_without_a_choice_is_not_published_and_does_not_count_as_missing(
    database: LabelingDatabase, join: Join
) -> None:
    texts = (("a", "a", "a"), ("a", "b", "a"), ("", "", ""))
    assert [each.id for each in with_choice(drawn(*texts))] == ["r1-p1"]
    publish(database, *texts)
    rank(database, join("ada"), 2, 1, 3)
    with database.reading() as session:
        assert len(session.scalars(select(Item)).all()) == 1
        state = rounds.progress(session, "r1")
        [ranking] = rounds.rankings(session, "r1")
    assert (state.wanted, state.missing, state.enough) == (1, 0, True)
    assert (ranking.responses, ranking.ranks) == (("a", "b", "a"), (2, 1, 2))


@pytest.mark.parametrize("k", [1, 5])
def test_copies_of_a_response_neither_raise_nor_lower_agreement(
    database: LabelingDatabase, join: Join, k: int
) -> None:
    """Two labelers tie a and b the other way round each time; copies of b would add pairs that agree."""
    plain = [("c", "a", "b"), ("d", "a", "b")]
    publish(database, *((one, two, *[three] * k) for one, two, three in plain), overlap=2)
    orders = {"ada": [(1, 2, 3), (1, 3, 2)], "bob": [(1, 3, 2), (1, 3, 2)]}
    for name, ranks in orders.items():
        who = join(name)
        for one, two, three in ranks:
            rank(database, who, one, two, *[three] * k)
    with database.reading() as session:
        by_id = {each.id: each for each in quality.labeler_quality(session, "r1")}
        round_alpha = quality.round_alpha(session, "r1")
        report = measure_agreement(list(rounds.rankings(session, "r1")), {}, None)
    expected = alpha({n: {name: ranks[n] for name, ranks in orders.items()} for n in range(2)})
    assert by_id["labeler-ada"].others_agreement == (5, 6)
    assert report.others == (10, 12)
    assert round_alpha == report.alpha == expected
