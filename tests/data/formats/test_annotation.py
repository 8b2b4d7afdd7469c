"""Exports of annotation tools, Label Studio and Argilla: rankings by annotator, and what is refused."""

import copy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alignloop.data.formats.importer import Refused
from alignloop.data.formats.refused_rows import Withdrawn
from alignloop.data.formats.sniffing import sniff
from alignloop.records import Ranking
from tests.data.formats.samples import (
    SAMPLES,
    import_rows,
    ranked_responses,
    read_items,
    record_of,
    turns_of,
    write,
)


def task(*result: Any, data: dict[str, Any] | None = None, **annotation: Any) -> dict[str, Any]:
    given = copy.deepcopy(SAMPLES["label-studio"])
    given["data"] |= data or {}
    given["annotations"] = [{"id": 1, "completed_by": 7, "result": list(result), **annotation}]
    return given


def order(*ids: Any) -> dict[str, Any]:
    return {"from_name": "rank", "to_name": "items", "type": "ranker", "value": {"ranker": list(ids)}}


def choice(selected: str, to_name: str = "txt-1,txt-2") -> dict[str, Any]:
    return {"from_name": "pw", "to_name": to_name, "type": "pairwise", "value": {"selected": selected}}


RATING = {"from_name": "r", "to_name": "items", "type": "rating", "value": {"rating": 4}}


def test_a_ranker_ranks_the_items_whose_ids_it_lists(tmp_path: Path):
    bucket = {**order(), "value": {"ranker": {"rank": ["hen", "owl", "bee"], "_": []}}}
    by_mail = {"completed_by": {"id": 9, "email": "ann@example.org"}}
    items = import_rows(
        tmp_path,
        "label-studio",
        SAMPLES["label-studio"],
        task(RATING, bucket),
        task(order("bee", "hen", "owl"), **by_mail),
    )
    assert ranked_responses(items[0]) == ranked_responses(items[1]) == [("owl.", 2), ("bee.", 3), ("hen.", 1)]
    assert ranked_responses(items[2]) == [("owl.", 3), ("bee.", 1), ("hen.", 2)]
    labelers = [record.labeler for record in map(record_of, items) if isinstance(record, Ranking)]
    assert labelers == ["label-studio-7", "label-studio-7", "label-studio-9"]
    assert turns_of(items[0]) == ["user: Name a bird."]
    assert "example.org" not in record_of(items[2]).model_dump_json()


def buckets(given: dict[str, list[str]], name: str = "rank") -> dict[str, Any]:
    return {**order(), "from_name": name, "value": {"ranker": given}}


def test_buckets_named_by_ranks_hold_ties_and_gaps_between_them_close(tmp_path: Path):
    rows = (
        task(buckets({"rank-1": ["hen", "owl"], "rank-3": ["bee"], "rank-2": [], "_": []})),
        task(buckets({"10": ["bee"], "9": ["hen"], "2": ["owl"]})),
        task(buckets({"rank-2": ["bee", "hen", "owl"]})),
        task(buckets({"rank-1": ["bee", "hen", "owl"]}, "rank-1")),  # no bucket: the Ranker is called so
    )
    tied, ordered, equal, named = import_rows(tmp_path, "label-studio", *rows)
    assert ranked_responses(tied) == [("owl.", 1), ("bee.", 2), ("hen.", 1)]
    assert ranked_responses(ordered) == [("owl.", 1), ("bee.", 3), ("hen.", 2)]
    assert ranked_responses(equal) == [("owl.", 1), ("bee.", 1), ("hen.", 1)]
    assert ranked_responses(named) == [("owl.", 3), ("bee.", 1), ("hen.", 2)]


def test_each_annotation_of_a_task_is_a_ranking(tmp_path: Path):
    given = copy.deepcopy(SAMPLES["label-studio"])
    given["annotations"] = [
        {"completed_by": who, "result": [order("owl", "bee", "hen")]} for who in (1, 2, 3)
    ]
    assert [item.labeler[-1] for item in import_rows(tmp_path, "label-studio", given)] == ["1", "2", "3"]


def test_a_pairwise_choice_compares_the_fields_it_names_or_a_known_pair(tmp_path: Path):
    pair = {"text1": "Owl.", "text2": "Bee.", "items": None}
    left, right, named, lost = import_rows(
        tmp_path,
        "label-studio",
        task(choice("left"), data=pair),
        task(choice("right"), data=pair),
        task(choice("left", "x, y"), data={"x": "Yak.", "y": "Emu.", "items": None}),
        task(choice("left"), data={**pair, "hint": "Think of the night."}),
    )
    assert lost == Refused("this format does not read 'hint', which would be lost")
    assert ranked_responses(left) == [("Owl.", 1), ("Bee.", 2)]
    assert ranked_responses(right) == [("Owl.", 2), ("Bee.", 1)]
    assert ranked_responses(named) == [("Yak.", 1), ("Emu.", 2)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (task(order("owl", "bee", "hen"), was_cancelled=True), "the annotator skipped it"),
        (task(order("owl", "bee", "hen"), completed_by=None), "nobody is named as its annotator"),
        (task(order("owl", "bee")), "not every item stands once in the order"),
        (task(order("owl", "bee", "hen", "owl")), "not every item stands once in the order"),
        (task(order("owl", "yak", "hen")), "no list among the fields holds the items that are ordered"),
        (
            task({**order(), "value": {"ranker": {"good": ["owl"], "bad": ["bee", "hen"]}}}),
            "items in several buckets, or in none: no order",
        ),
        (task(buckets({"_": ["owl", "bee", "hen"]})), "items left unranked"),
        (task(buckets({"rank-1": ["owl", "bee"], "_": ["hen"]})), "items left unranked"),
        (
            task(buckets({"rank-1": ["owl", "bee"], "rank-2": ["hen", "owl"]})),
            "not every item stands once in the order",
        ),
        (
            task(order("a", "b"), data={"items": [{"id": "a", "body": "A"}, {"id": "b", "title": "B"}]}),
            "an item without a text, `body`",
        ),
        (
            task(RATING),
            "ratings of fewer than two fields, or `to_name` names no field that holds a text",
        ),
        (task(order("owl", "bee", "hen"), choice("left")), "not one ranker or pairwise result, nor ratings"),
        (task(choice("left")), "no two answers: neither `to_name` nor a known pair of fields holds texts"),
        (task(choice("none"), data={"left": "a", "right": "b"}), "neither left nor right was selected"),
        (
            task(order("owl", "bee", "hen"), data={"prompt": " "}),
            "no prompt: none of the fields prompt, question, instruction, query, text holds any",
        ),
        ({**task(), "annotations": []}, "nobody has annotated it"),
        (
            task(order("a"), data={"items": [{"id": "a", "body": "A"}]}),
            "responses: Tuple should have at least # items after validation, not #",
        ),
    ],
)
def test_incomplete_annotations_are_refused(tmp_path: Path, row: Any, reason: str):
    assert import_rows(tmp_path, "label-studio", row) == [Refused(reason)]


def argilla(value: Any, **response: Any) -> dict[str, Any]:
    answer = {"user_id": "u1", "status": "submitted", "values": {"preference": {"value": value}}, **response}
    return {**SAMPLES["argilla"], "responses": [answer]}


def ranks(*given: Any) -> list[dict[str, Any]]:
    return [{"value": f"reply-{number}", "rank": rank} for number, rank in enumerate(given, 1)]


def test_argillas_ranks_are_read_from_every_version(tmp_path: Path):
    old = {**SAMPLES["argilla"], "responses": {"preference": [{"value": ranks(1, 5), "user_id": "u2"}]}}
    page = {"items": [argilla(ranks(2, 1)), argilla(ranks(1, 2))], "total": 2}
    first, tied, older, *paged = import_rows(
        tmp_path, "argilla", SAMPLES["argilla"], argilla(ranks(1, 1)), old, page
    )
    assert ranked_responses(first) == [("Bee.", 2), ("Owl.", 1)]
    assert ranked_responses(tied) == [("Bee.", 1), ("Owl.", 1)]
    assert ranked_responses(older) == [("Bee.", 1), ("Owl.", 2)]
    assert [ranked_responses(each)[0] for each in paged] == [("Bee.", 2), ("Bee.", 1)]
    assert (first.labeler, older.labeler) == ("argilla-u1", "argilla-u2")
    assert turns_of(first) == ["user: Name a bird."]


def test_a_page_of_argilla_records_is_recognised(tmp_path: Path):
    assert sniff(write(tmp_path / "a.json", [{"items": [SAMPLES["argilla"]], "total": 1}])) == "argilla"


def test_argillas_table_has_lists_of_responses_users_and_states(tmp_path: Path):
    row = {
        "id": "r",
        "status": "completed",
        "instruction": "Name a bird.",
        "context": "In Spain.",
        "reply-1": "Bee.",
        "reply-2": "Owl.",
        "preference.responses": [ranks(2, 1), ranks(1, 2)],
        "preference.responses.users": ["u1", "u2"],
        "preference.responses.status": ["submitted", "draft"],
        "preference.suggestion": ["reply-1", "reply-2"],
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert sniff(tmp_path / "a.parquet") == "argilla"
    first, draft = read_items(tmp_path / "a.parquet", "argilla")
    assert ranked_responses(first) == [("Bee.", 2), ("Owl.", 1)]
    assert turns_of(first) == ["user: Name a bird.\n\nIn Spain."]
    assert draft == Refused("a draft, or a discarded response")


def test_exports_of_argillas_sdk_are_refused_with_the_remedy(
    tmp_path: Path,
):
    flat = {
        "prompt": "Hi?",
        "reply-1": "a",
        "reply-2": "b",
        "p.responses": [["reply-1", "reply-2"]],
        "p.responses.users": ["u"],
    }
    nested = {
        **SAMPLES["argilla"],
        "responses": {"preference": [{"value": ["reply-1", "reply-2"], "user_id": "u1"}]},
    }
    for item in import_rows(tmp_path, "argilla", nested, flat, argilla(["reply-2", "reply-1"])):
        assert isinstance(item, Refused)
        assert item.reason.startswith("options without their ranks, as Argilla's SDK exports them")
        assert "/api/v1/datasets/ID/records?include=responses" in item.reason


NOBODY = "nobody has ranked two or more of its fields"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (argilla(ranks(1)), NOBODY),
        (argilla(["reply-1"]), NOBODY),
        (argilla([{"value": "good", "rank": 1}, {"value": "bad", "rank": 2}]), NOBODY),
        (argilla(["good", "bad"]), NOBODY),
        (argilla([*ranks(1), *ranks(2)]), NOBODY),
        (argilla(ranks(None, 1)), NOBODY),
        (argilla("yes"), NOBODY),
        ({**SAMPLES["argilla"], "responses": None}, NOBODY),
        (argilla(ranks(1, 2), status="discarded"), "a draft, or a discarded response"),
        (
            argilla([*ranks(1, 2), {"value": "prompt", "rank": 3}]),
            "no prompt: none of the fields prompt, instruction, question, query holds any",
        ),
        (
            {**argilla(ranks(1, 2)), "fields": {"prompt": "Hi?", "reply-1": "a", "reply-2": 7}},
            "a ranked field that is no text, or a response by nobody",
        ),
    ],
)
def test_argilla_records_without_a_submitted_ranking_are_refused(tmp_path: Path, row: Any, reason: str):
    assert import_rows(tmp_path, "argilla", row) == [Refused(reason)]


def rated(name: str, **value: Any) -> dict[str, Any]:
    return {"from_name": f"r-{name}", "to_name": name, "type": next(iter(value)), "value": value}


def test_ratings_of_single_responses_rank_them_the_highest_first_and_equal_ones_tie(tmp_path: Path):
    pair = {"answer1": "Owl.", "answer2": "Bee.", "items": None}
    three = {"a": "Owl.", "b": "Bee.", "c": "Emu.", "items": None}
    note = {"from_name": "n", "to_name": "answer1", "type": "textarea", "value": {"text": ["fine"]}}
    stars, numbers, noted = import_rows(
        tmp_path,
        "label-studio",
        task(rated("answer1", rating=2), rated("answer2", rating=5), data=pair),
        task(rated("c", number=1.5), rated("a", number="1.5"), rated("b", number=0), data=three),
        task(rated("answer1", rating=2), note, rated("answer2", rating=5), data=pair),
    )
    assert ranked_responses(stars) == ranked_responses(noted) == [("Owl.", 2), ("Bee.", 1)]
    assert ranked_responses(numbers) == [("Emu.", 1), ("Owl.", 1), ("Bee.", 2)]
    assert noted.changes == ("other results of the annotation left out: textarea",)


def test_what_its_source_has_withdrawn_is_refused_as_such(tmp_path: Path):
    skipped, unranked = import_rows(
        tmp_path, "label-studio", task(order("owl", "bee", "hen"), was_cancelled=True), task(order("owl"))
    )
    assert (isinstance(skipped, Withdrawn), isinstance(unranked, Withdrawn)) == (True, False)


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([rated("a", rating=1)], "ratings of fewer than two fields"),
        ([rated("a", rating=1), rated("x", rating=1)], "`to_name` names no field that holds a text"),
        ([rated("a", rating=1), rated("a", rating=2), rated("b", rating=1)], "several ratings"),
        ([rated("a", rating=1), rated("b", rating=None)], "a rating without a number"),
        ([rated("a", rating=1), rated("b", rating=2)], "this format does not read 'c', which would be lost"),
        ([rated("a", rating=1), rated("b", rating="much")], "ratings of fewer than two fields"),
    ],
)
def test_ratings_that_order_nothing_or_not_all_are_refused(tmp_path: Path, results: list[Any], reason: str):
    data = {"a": "Owl.", "b": "Bee.", "c": "Emu.", "items": None}
    [item] = import_rows(tmp_path, "label-studio", task(*results, data=data))
    assert isinstance(item, Refused)
    assert reason in item.reason
