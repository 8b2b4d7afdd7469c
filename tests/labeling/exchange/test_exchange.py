"""Exports to Label Studio and Argilla come back unchanged: every rank, tie and labeler."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignloop.data.formats.importer import Refused
from alignloop.labeling.exchange import argilla, label_studio
from alignloop.labeling.exchange.items import ExchangeError, ExchangeItem, LabelerRanking, conversation_text
from tests.labeling.exchange import tools

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = {f"labeler-{name}": str(number) for number, name in enumerate(("ada", "bob", "eve"), 7)}
UUIDS = {name: tools.uuid(name) for name in NUMBERS}
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20) | st.sampled_from(
    ["", " a ", "<b>&\"'", "二分\u2028أ", "a\n\nb"]
)


def closed(ranks: list[int]) -> tuple[int, ...]:
    order = sorted(set(ranks))
    return tuple(order.index(rank) + 1 for rank in ranks)


@st.composite
def rounds(draw: st.DrawFn, ties: bool = True) -> list[ExchangeItem]:
    """Some items of one size, each ranked by some labelers in some weak order."""
    k = draw(st.sampled_from([2, 3, 6, 9]))
    orders = (
        st.lists(st.integers(1, k), min_size=k, max_size=k).map(closed)
        if ties
        else st.permutations(range(1, k + 1)).map(tuple)
    )
    items = []
    for number in range(draw(st.integers(1, 3))):
        rankings = [
            LabelerRanking(who, draw(orders), 90.5)
            for who in draw(st.lists(st.sampled_from(sorted(NUMBERS)), unique=True))
        ]
        texts = tuple(draw(st.lists(TEXTS, min_size=k, max_size=k)))
        items.append(
            ExchangeItem(
                round="r1",
                key=f"r1-p{number}",
                prompt=draw(TEXTS),
                responses=texts,
                presented=tuple(draw(st.permutations(range(k)))),
                guidelines="g-1",
                rankings=tuple(rankings),
            )
        )
    return items


@QUICK
@given(rounds(), st.booleans())
def test_a_round_trip_through_label_studio_keeps_every_rank_tie_and_labeler(
    tmp_path: Path, items: list[ExchangeItem], whole_user: bool
) -> None:
    label_studio.write(tmp_path / "tasks.json", items, "Be kind.", NUMBERS)
    back = label_studio.read(tools.label_studio(tmp_path / "tasks.json", whole_user=whole_user), NUMBERS)
    assert [item for _, item in back] == items


@QUICK
@given(rounds(ties=False), st.sampled_from(["buckets", "list", "named"]))
def test_each_of_label_studios_three_shapes_is_read(
    tmp_path: Path, items: list[ExchangeItem], shape: str
) -> None:
    label_studio.write(tmp_path / "tasks.json", items, "", NUMBERS)
    assert [
        item for _, item in label_studio.read(tools.label_studio(tmp_path / "tasks.json", shape), NUMBERS)
    ] == items


@QUICK
@given(rounds(), st.booleans())
def test_a_round_trip_through_argilla_keeps_every_rank_tie_and_labeler(
    tmp_path: Path, items: list[ExchangeItem], pages: bool
) -> None:
    argilla.write(tmp_path / "records.jsonl", items, "Be kind.", UUIDS)
    assert [
        item for _, item in argilla.read(tools.argilla(tmp_path / "records.jsonl", pages), UUIDS)
    ] == items


def exchange_item(*rankings: LabelerRanking, key: str = "r1-p0") -> ExchangeItem:
    return ExchangeItem(
        round="r1",
        key=key,
        prompt="Why?",
        responses=("a", "b", "c"),
        presented=(2, 0, 1),
        guidelines="g-1",
        rankings=rankings,
    )


Tool = tuple[Any, Callable[[Path], Path], str, dict[str, str]]
BOTH: list[Tool] = [(label_studio, tools.label_studio, "label-studio-7", NUMBERS)]
BOTH += [(argilla, tools.argilla, f"argilla-{UUIDS['labeler-ada']}", UUIDS)]


@pytest.mark.parametrize(("tool", "export", "name", "people"), BOTH, ids=["label-studio", "argilla"])
def test_unnamed_annotators_keep_their_external_id_and_skips_are_imported_as_skips(
    tmp_path: Path, tool: Any, export: Any, name: str, people: Any
) -> None:
    items = [
        exchange_item(LabelerRanking("labeler-ada", (1, 2, 1), 90.5)),
        exchange_item(LabelerRanking("labeler-ada", None, 90.5, "x"), key="r1-p1"),
    ]
    files = tool.write(tmp_path / "out.json", items, "Be kind.", people)
    assert all(file.exists() for file in files)
    assert not any("labeler-ada" in file.read_text() or "models/" in file.read_text() for file in files)
    first, skipped = [item for _, item in tool.read(export(tmp_path / "out.json"), {})]
    assert first.rankings == (LabelerRanking(name, (1, 2, 1), 90.5),)
    assert (skipped.rankings[0].labeler, skipped.rankings[0].ranks) == (name, None)
    assert skipped.rankings[0].skipped


@pytest.mark.parametrize(
    ("tool", "people"), [(label_studio, {"labeler-ada": "ada"}), (argilla, {"labeler-ada": "7"})]
)
def test_a_labeler_with_a_missing_or_invalid_external_id_is_refused(
    tmp_path: Path, tool: Any, people: dict[str, str]
) -> None:
    with pytest.raises(ExchangeError, match="labeler-ada has no ID in"):
        tool.write(
            tmp_path / "out.json", [exchange_item(LabelerRanking("labeler-ada", (1, 2, 3), 1.0))], "", {}
        )
    with pytest.raises(ExchangeError, match=r"labeler-ada: the ID in --people must be .*, got '(ada|7)'"):
        tool.write(
            tmp_path / "out.json", [exchange_item(LabelerRanking("labeler-ada", (1, 2, 3), 1.0))], "", people
        )
    assert not list(tmp_path.iterdir())


def test_label_studios_interface_has_a_bucket_for_each_rank_and_shows_the_fields_of_the_tasks(
    tmp_path: Path,
) -> None:
    label_studio.write(tmp_path / "tasks.json", [exchange_item()], 'Say "no" to <b> & co.', {})
    view = ElementTree.parse(tmp_path / "tasks.xml").getroot()
    [ranker] = view.iter("Ranker")
    assert [bucket.get("name") for bucket in ranker] == ["rank-1", "rank-2", "rank-3"]
    [task] = json.loads((tmp_path / "tasks.json").read_text())
    shown = [each.get("value") for each in (*view.iter("Text"), *view.iter("List"))]
    assert {"$" + name for name in ("prompt", "items")} == set(shown)
    assert [header.get("value") for header in view.iter("Header")] == ['Say "no" to <b> & co.']
    assert [(item["id"], item["title"], item["body"]) for item in task["data"]["items"]] == [
        ("2", "A", "c"),
        ("0", "B", "a"),
        ("1", "C", "b"),
    ]


def test_argillas_settings_match_the_fields_of_the_records_which_are_written_in_pages_of_500(
    tmp_path: Path,
) -> None:
    argilla.write(
        tmp_path / "records.jsonl", [exchange_item(key=f"r1-p{n}") for n in range(501)], "Be kind.", {}
    )
    pages = [json.loads(line)["items"] for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert [len(page) for page in pages] == [500, 1]
    settings = json.loads((tmp_path / "records.settings.json").read_text())
    assert (
        [field["name"] for field in settings["fields"]]
        == list(pages[0][0]["fields"])
        == ["prompt", "answer-1", "answer-2", "answer-3"]
    )
    assert [option["value"] for option in settings["questions"][0]["settings"]["options"]] == [
        "answer-1",
        "answer-2",
        "answer-3",
    ]
    assert pages[0][0]["fields"] == {"prompt": "Why?", "answer-1": "c", "answer-2": "a", "answer-3": "b"}
    two = replace(exchange_item(key="x"), responses=("a", "b"), presented=(0, 1))
    with pytest.raises(ExchangeError, match="the items have 2 and 3 responses"):
        argilla.write(tmp_path / "records.jsonl", [exchange_item(), two], "", {})


def read_changed(
    tmp_path: Path, tool: Any, export: Any, people: dict[str, str], change: Callable[[Any], Any]
) -> list[Any]:
    """Read the export of one item, ranked by ada and bob, after a change to its first task or record."""
    rankings = [LabelerRanking(who, (1, 2, 1), 90.5) for who in ("labeler-ada", "labeler-bob")]
    tool.write(tmp_path / "out.json", [exchange_item(*rankings)], "", people)
    file = export(tmp_path / "out.json")
    content = json.loads(file.read_text())
    change((content if isinstance(content, list) else content["items"])[0])
    file.write_text(json.dumps(content))
    return [item for _, item in tool.read(file, people)]


def ranker(value: Any) -> Callable[[Any], None]:
    return lambda task: task["annotations"][0]["result"][0]["value"].update(ranker=value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (ranker({"rank-1": ["0"], "_": ["1", "2"]}), "items left unranked"),
        (ranker({"rank-1": ["0"], "rank-2": ["1"]}), "items are unranked, or belong to another task"),
        (ranker(["0", "1", "7"]), "items are unranked, or belong to another task"),
        (ranker({"good": ["0"], "bad": ["1", "2"]}), "items in several buckets, or in none: no order"),
        (
            lambda task: task["annotations"][0].update(result=[]),
            "expected one ranker result: nothing was moved, or the interface is another",
        ),
        (lambda task: task["annotations"][0].update(completed_by=None), "the annotation names no annotator"),
    ],
)
def test_incomplete_label_studio_annotations_are_refused_and_the_others_are_read(
    tmp_path: Path, change: Any, reason: str
) -> None:
    refused, item = read_changed(tmp_path, label_studio, tools.label_studio, NUMBERS, change)
    assert refused == Refused(reason)
    assert [ranking.labeler for ranking in item.rankings] == ["labeler-bob"]


def value(given: Any) -> Callable[[Any], None]:
    return lambda record: record["responses"][0]["values"]["ranking"].update(value=given)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            value(["answer-1", "answer-2", "answer-3"]),
            "options without their ranks, as Argilla's SDK exports them",
        ),
        (
            value([{"value": "answer-1", "rank": 1}, {"value": "answer-2", "rank": None}]),
            "options are unranked, or belong to another question",
        ),
        (value([{"value": "answer-1", "rank": 1}]), "options are unranked, or belong to another question"),
        (
            lambda record: record["responses"][0].update(user_id=None),
            "the response has no user: the user was deleted",
        ),
    ],
)
def test_argilla_responses_without_ranks_are_refused_and_the_others_are_read(
    tmp_path: Path, change: Any, reason: str
) -> None:
    refused, item = read_changed(tmp_path, argilla, tools.argilla, UUIDS, change)
    assert refused.reason.startswith(reason)
    assert [ranking.labeler for ranking in item.rankings] == ["labeler-bob"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda record: record.update(responses={"ranking": [{"value": ["answer-1"], "user_id": "u"}]}),
            "options without their ranks",
        ),
        (
            lambda record: record.update(responses=None),
            "the record has no responses; fetch the records with `?include=responses`",
        ),
        (
            lambda record: record["fields"].pop("answer-2"),
            "its fields are not those of an exported round",
        ),
        (lambda record: record.update(external_id=None), "external_id: Input should be a valid string"),
    ],
)
def test_argilla_records_of_no_exported_round_are_refused(tmp_path: Path, change: Any, reason: str) -> None:
    [refused] = read_changed(tmp_path, argilla, tools.argilla, UUIDS, change)
    assert refused.reason.startswith(reason)


def test_drafts_are_not_imported_and_a_conversation_is_exported_with_its_roles(tmp_path: Path) -> None:
    def draft(record: Any) -> None:
        record["responses"][0].update(status="draft")

    [item] = read_changed(tmp_path, argilla, tools.argilla, UUIDS, draft)
    assert [ranking.labeler for ranking in item.rankings] == ["labeler-bob"]
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Why?"},
    ]
    assert conversation_text(turns) == "User: Hi\n\nAssistant: Yes?\n\nUser: Why?"
    assert conversation_text(turns[:1]) == "Hi"
