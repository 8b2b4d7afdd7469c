"""Imported rankings count like those made on the pages, once; invalid ones are refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select

from alignloop.data.formats.importer import Refused
from alignloop.labeling import rounds
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.exchange import external_rounds
from alignloop.labeling.exchange.items import ExchangeError, ExchangeItem, LabelerRanking
from alignloop.labeling.qualification import set_status
from alignloop.labeling.schema import Event, Item, Labeler, Submission
from tests.labeling.conftest import assign_next, publish, rank, samples

Join = Callable[..., str]


def exported(database: LabelingDatabase, rankings: bool = False) -> list[ExchangeItem]:
    with database.reading() as session:
        return external_rounds.round_items(session, "r1", "g-1", rankings)


def ranked(item: ExchangeItem, *ranks: int, by: str = "label-studio-7") -> ExchangeItem:
    return replace(item, rankings=(LabelerRanking(by, ranks, 12.5),))


def import_items(
    database: LabelingDatabase, *items: ExchangeItem | Refused, leave_out: bool = False
) -> external_rounds.ImportResult:
    return external_rounds.import_rankings(database, "r1", list(enumerate(items, 1)), "back.json", leave_out)


def test_imported_rankings_belong_to_the_round_with_labeler_presented_order_time_and_guidelines(
    database: LabelingDatabase,
) -> None:
    publish(database, count=2)
    first, second = exported(database)
    assert sorted(first.presented) == [0, 1, 2]
    assert "models" not in repr(first)
    result = import_items(database, ranked(first, 2, 1, 2), ranked(second, 1, 2, 3, by="argilla-x"))
    assert (result.rankings, result.known, result.labelers) == (2, 0, {"label-studio-7", "argilla-x"})
    with database.reading() as session:
        state = rounds.progress(session, "r1")
        rankings = list(rounds.rankings(session, "r1"))
        audit = [event.action for event in session.scalars(select(Event).order_by(Event.id))]
        assert session.get_one(Labeler, "label-studio-7").link is None  # nobody can sign in as them
    assert (state.done, state.enough) == (2, True)
    assert [(each.labeler, each.kind, each.ranks) for each in rankings] == [
        ("label-studio-7", "person", (2, 1, 2)),
        ("argilla-x", "person", (1, 2, 3)),
    ]
    assert rankings[0].labeling is not None
    assert (
        rankings[0].labeling.presented,
        rankings[0].labeling.guidelines,
        rankings[0].labeling.seconds,
    ) == (
        first.presented,
        "g-1",
        12.5,
    )
    assert audit[-3:] == ["import answer", "import answer", "import round"]


def test_a_ranking_imported_twice_is_saved_once_and_exported_unchanged(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=1, overlap=2)
    ada = join("ada")
    rank(database, ada, 2, 1, 1)
    [item] = exported(database, rankings=True)
    assert [(each.labeler, each.ranks) for each in item.rankings] == [(ada, (2, 1, 1))]
    assert import_items(database, item, ranked(item, 1, 1, 1), ranked(item, 1, 1, 1)).known == 2
    with database.reading() as session:
        assert {answer.labeler: answer.ranks for answer in session.scalars(select(Submission))} == {
            ada: [2, 1, 1],
            "label-studio-7": [1, 1, 1],
        }
        item = session.get_one(Item, 1)
        assert (item.taken, item.done) == (0, 2)


def test_importing_a_ranking_finishes_the_labelers_open_assignment(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=1)
    ada = join("ada")
    assert assign_next(database, ada)
    [item] = exported(database)
    assert import_items(database, ranked(item, 1, 2, 3, by=ada)).rankings == 1
    with database.reading() as session:
        item = session.get_one(Item, 1)
        assert (item.taken, item.done) == (0, 1)
    assert assign_next(database, ada) is None


def test_a_skip_in_the_other_tool_is_imported_as_a_skip(database: LabelingDatabase) -> None:
    publish(database, count=1)
    [item] = exported(database)
    result = import_items(
        database,
        replace(item, rankings=(LabelerRanking("label-studio-7", None, 1.0, "skipped in Label Studio"),)),
    )
    assert (result.rankings, result.skips) == (0, 1)
    with database.reading() as session:
        assert session.scalars(select(Submission.skipped)).all() == ["skipped in Label Studio"]
        assert rounds.progress(session, "r1").missing == 1


def test_invalid_rankings_are_refused_by_line_and_nothing_is_saved_unless_they_are_left_out(
    database: LabelingDatabase, join: Join
) -> None:
    publish(database, count=3)
    eve = join("eve")
    set_status(database, eve, "excluded", "labeler-boss")
    good, other, third = exported(database)
    import_items(database, ranked(other, 1, 2, 3))
    items = (
        ranked(good, 1, 2, 3),
        ranked(other, 3, 2, 1),
        replace(ranked(third, 1, 2, 3), responses=("x", "y", "z")),
        replace(ranked(third, 1, 2, 3), key="r1-p9"),
        replace(ranked(third, 1, 2, 3), round="r2"),
        ranked(third, 1, 2, 3, by=eve),
        Refused("items are unranked"),
    )
    with pytest.raises(ExchangeError) as error:
        import_items(database, *items)
    lines = str(error.value).splitlines()
    assert [line.split(":")[1] for line in lines[:-1]] == ["2", "3", "4", "5", "6", "7"]
    for words in (
        "already submitted another ranking",
        "differ from those that were exported",
        "is not among the current items of round r1",
        "is excluded",
        "unranked",
    ):
        assert words in str(error.value)
    assert lines[-1].startswith("nothing was saved")
    with database.reading() as session:
        assert rounds.progress(session, "r1").done == 1
    result = import_items(database, *items, leave_out=True)
    assert (result.rankings, len(result.refused)) == (1, 6)
    with database.reading() as session:
        assert rounds.progress(session, "r1").done == 2


def test_nothing_is_imported_into_a_closed_or_unpublished_round(database: LabelingDatabase) -> None:
    with pytest.raises(ExchangeError, match="round r1 was never published"):
        exported(database)
    publish(database, count=1)
    [item] = exported(database)
    with database.writing() as session:
        rounds.close(session, "r1", "test")
    with pytest.raises(
        ExchangeError, match=r"round r1 is closed: its rankings are final; nothing of back\.json was saved"
    ):
        import_items(database, ranked(item, 1, 2, 3))
    with pytest.raises(ExchangeError, match="round r7 was never published"):
        external_rounds.import_rankings(database, "r7", [], "back.json")


def test_equal_responses_are_one_item_in_label_studio_and_tie_whatever_was_imported(
    database: LabelingDatabase, join: Join
) -> None:
    texts = [("a", "b", "a", "c"), ("a", "b", "a", "c"), ("x", "x", "x", "x")]
    drawn = [each.model_copy(update={"responses": own}) for each, own in zip(samples(3), texts, strict=True)]
    rounds.publish(database, "r1", drawn, overlap=2, enough=1.0, deadline_hours=None)
    ada = join("ada")
    rank(database, ada, 2, 1, 2, 3)
    once = exported(database, rankings=True)
    assert [each.responses for each in once] == [("a", "b", "c")] * 2
    assert [each.ranks for each in once[0].rankings] == [(2, 1, 3)]
    assert import_items(database, once[0]).known == 1
    with database.reading() as session:  # for Argilla
        whole = external_rounds.round_items(session, "r1", "g-1", equal_once=False)
    assert [each.responses for each in whole] == [("a", "b", "a", "c")] * 2
    shown = replace(ranked(once[0], 3, 1, 2), presented=(2, 0, 1))
    result = import_items(database, shown, ranked(whole[1], 4, 1, 2, 3))
    assert (result.rankings, result.tied) == (2, 1)
    with database.reading() as session:
        found = [each for each in rounds.rankings(session, "r1") if each.labeler != ada]
    assert [each.ranks for each in found] == [(3, 1, 3, 2), (2, 1, 2, 3)]
    assert found[0].labeling
    assert found[0].labeling.presented == (3, 0, 2, 1)
