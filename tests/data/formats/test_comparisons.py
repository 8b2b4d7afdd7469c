"""Comparisons and rankings by people and judges: labelers, ranks, and each source's faulty rows."""

import copy
from pathlib import Path
from typing import Any

import pytest

from alignloop.data.formats import FORMATS
from alignloop.data.formats.importer import Changed, Refused
from alignloop.records import Ranking
from tests.data.formats.samples import (
    REVIEWED,
    SAMPLES,
    STORY,
    completion,
    import_rows,
    ranked_responses,
    read_items,
    reviews,
    turns_of,
    write,
)


def labeler_of(item: Any) -> tuple[str, str]:
    record = item.record if isinstance(item, Changed) else item
    assert isinstance(record, Ranking)
    return record.labeler, record.kind


def test_a_choice_of_two_summaries_is_a_ranking_of_the_papers_query(tmp_path: Path):
    post = SAMPLES["summarize-from-feedback"]
    news = {**post, "info": {"id": "n", "article": " A king died.\n"}, "choice": 0}
    neither = {**post, "info": {"id": "x", "post": " "}}
    same = {**post, "summaries": [{"text": "Cat."}, {"text": " Cat."}]}
    third = {**post, "choice": 2}
    first, second, *refused = import_rows(
        tmp_path, "summarize-from-feedback", post, news, neither, same, third
    )
    assert turns_of(first) == ["user: SUBREDDIT: r/pets\n\nTITLE: Cat\n\nPOST: I lost my cat.\n\nTL;DR:"]
    assert ranked_responses(first) == [("Cat lost.", 2), ("Cat.", 1)]
    assert labeler_of(first) == ("summarize-from-feedback-w1", "person")
    assert turns_of(second) == ["user: Article: A king died.\n\nTL;DR:"]
    assert ranked_responses(second) == [("Cat lost.", 1), ("Cat.", 2)]
    assert refused == [
        Refused("neither a post nor an article"),
        Refused("both summaries are the same"),
        Refused("choice: Input should be # or #"),
    ]


def test_webgpt_scores_become_ranks_in_both_shapes(tmp_path: Path):
    flat = SAMPLES["webgpt"]
    pair = [
        {"question": flat["question"], "quotes": {}, "answer": text, "tokens": {}, "score": score}
        for text, score in (("a", 1), ("b", -1))
    ]
    other = [pair[0], {**pair[1], "question": {"full_text": "Else?"}}]
    items = import_rows(
        tmp_path, "webgpt", flat, {**flat, "score_0": 0, "score_1": 0.0}, pair, other, pair[:1]
    )
    assert [ranked_responses(item) for item in items[:3]] == [
        [("Air scatters blue [1].", 2), ("It is.", 1)],
        [("Air scatters blue [1].", 1), ("It is.", 1)],
        [("a", 1), ("b", 2)],
    ]
    assert items[3] == Refused("two answers to two questions")
    assert isinstance(items[4], Refused)


def test_shp_label_1_prefers_comment_a_and_must_not_contradict_the_scores(tmp_path: Path):
    row = SAMPLES["shp"]
    contradicting = {**row, "labels": 1}
    first, second, third = import_rows(tmp_path, "shp", row, {**contradicting, "score_A": 10}, contradicting)
    assert ranked_responses(first) == [("Ten minutes.", 2), ("Six.", 1)]
    assert ranked_responses(second) == [("Ten minutes.", 1), ("Six.", 2)]
    assert third == Refused("the label and the scores contradict each other")
    assert first.prompt.category == "askculinary_train"


def test_ultrafeedback_ranks_by_the_mean_of_all_aspects_and_not_by_the_overall_score(tmp_path: Path):
    row = SAMPLES["ultrafeedback"]
    gap = {**row, "completions": [*row["completions"], completion("Yak.", "5", "N/A", "5", "5")]}
    one = {**row, "completions": row["completions"][:1]}
    first, second, third = import_rows(tmp_path, "ultrafeedback", row, gap, one)
    assert ranked_responses(first) == [("Owl.", 1), ("Bee.", 2), ("Hen.", 1)], (
        "4.5 and 4.5 tie, whatever the order of their ratings; ten is no score"
    )
    assert labeler_of(first) == ("ultrafeedback", "judge")
    assert ranked_responses(second) == ranked_responses(first)
    assert second.changes == ("answers without all ratings left out",)
    assert third == Refused("fewer than two answers with all aspects rated")


def test_each_pandalm_annotator_gives_a_ranking_zero_is_a_tie_and_true_is_refused(tmp_path: Path):
    row = SAMPLES["pandalm"]
    *three, refused, fourth = import_rows(
        tmp_path, "pandalm", row, {**row, "response1": True}, {**row, "annotator3": 3}
    )
    assert [ranked_responses(item) for item in three] == [
        [("4", 1), ("", 2)],
        [("4", 2), ("", 1)],
        [("4", 1), ("", 1)],
    ]
    assert [labeler_of(item) for item in three] == [
        ("pandalm-1", "person"),
        ("pandalm-2", "person"),
        ("pandalm-3", "person"),
    ]
    assert turns_of(three[0]) == ["user: Answer.\n\n2+2?"]
    assert refused == Refused("response1: Input should be a valid string")
    assert fourth == Refused("annotator3: Input should be #, # or #")
    assert len({item.id for item in three}) == 3


def test_tulus_five_preferences_become_rankings_by_evaluator_and_days_become_a_date(tmp_path: Path):
    header = list(SAMPLES["tulu"])
    steps = ["a-is-better", "a-is-slightly-better", "tie", "b-is-slightly-better", "b-is-better", "b"]
    lines = [",".join(header)]
    for step in steps:
        row = {**SAMPLES["tulu"], "preference": step, "completion_a": '"Owl,\r\n""an"" owl\u2028."'}
        lines.append(",".join(row[name] for name in header).replace("Name a bird.\n", '"Name a bird.\r\n"'))
    lines += [lines[1].replace(",yo,", ",,"), "too,few"]
    (tmp_path / "t.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")
    items = read_items(tmp_path / "t.csv", "tulu")
    assert [[rank for _, rank in ranked_responses(item)] for item in items[:5]] == [
        [1, 2],
        [1, 2],
        [1, 1],
        [2, 1],
        [2, 1],
    ]
    assert ranked_responses(items[0])[0][0] == 'Owl,\r\n"an" owl\u2028.', (
        "a cell may hold quotes, commas and line ends"
    )
    assert [isinstance(item, Changed) for item in items[:5]] == [False, True, False, True, False]
    assert labeler_of(items[0]) == ("tulu-yo", "person")
    assert items[0].time == "2023-05-19T12:00:00", "day 45065 of a sheet is 2023-05-19"
    assert isinstance(items[5], Refused)
    assert items[6:] == [
        Refused("no evaluator is named"),
        Refused("more or fewer cells than there are columns"),
    ]


def squality(tmp_path: Path, reviewed: Any, story: Any = STORY) -> list[Any]:
    write(tmp_path / "sources" / "deep" / "stories.jsonl", [story, {"no": "story"}])
    path = write(tmp_path / "sources" / "reviews" / "all.jsonl", [reviewed])
    return [item for _, item in FORMATS["squality-rankings"].read(path, "reviews/all.jsonl")]


def test_each_squality_reviewer_gives_a_ranking_identified_by_worker_not_by_the_order_of_reviews(
    tmp_path: Path,
):
    items = squality(tmp_path, REVIEWED)
    assert [[rank for _, rank in ranked_responses(item)] for item in items] == [
        [1, 2, 3],
        [1, 3, 2],
        [2, 3, 1],
    ]
    assert [labeler_of(item)[0] for item in items] == ["squality-2", "squality-3", "squality-4"]
    assert turns_of(items[0]) == ["user: Once there was a robot.\n\nWhat happens?"], (
        "question 1 of the story is called 0 among the reviews"
    )


def test_squality_rankings_without_their_question_or_all_reviews_are_refused(tmp_path: Path):
    shifted = copy.deepcopy(REVIEWED)
    shifted["questions"] = {"1": shifted["questions"]["0"]}
    assert set(squality(tmp_path, shifted)) == {
        Refused("the human answer is none of the writers' answers to that question")
    }
    missing = {**REVIEWED, "passage-id": "8"}
    assert (
        squality(tmp_path, missing)
        == [Refused("its story and question stand in no SQuALITY file among the sources")] * 3
    )
    partial = copy.deepcopy(REVIEWED)
    partial["questions"]["0"]["bart"]["reviews"] = reviews(2, 3)
    assert squality(tmp_path, partial)[2] == Refused(
        "a reviewer ranked not all answers, or there are fewer than two"
    )


def preference(**fields: Any) -> dict[str, Any]:
    return {"prompt": "Hi?", "chosen": "Hi!", "rejected": "No.", **fields}


def turns(*said: str) -> list[dict[str, str]]:
    return [
        {"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(said)
    ]


@pytest.mark.parametrize(
    "row",
    [
        preference(),
        preference(prompt=turns("Hi?"), chosen=turns("", "Hi!")[1:], rejected=turns("", "No.")[1:]),
        {"chosen": turns("Hi?", "Hi!"), "rejected": turns("Hi?", "No.")},
        preference(
            chosen=turns("Hi?", "Hi!"),
            rejected=turns("Hi?", "No."),
            messages=turns("Hi?", "Hi!"),
            score_chosen=8.0,
            score_rejected=2,
        ),
        preference(
            prompt=[
                {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i?"}]}
            ]
        ),
    ],
)
def test_every_shape_of_a_trl_preference_is_the_same_ranking(tmp_path: Path, row: Any):
    [item] = import_rows(tmp_path, "trl", row)
    assert turns_of(item) == ["user: Hi?"]
    assert ranked_responses(item) == [("Hi!", 1), ("No.", 2)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (preference(rejected="Hi! "), "chosen and rejected are the same"),
        (
            preference(score_chosen=1.0, score_rejected=2.0),
            "the rejected answer scores higher than the chosen one",
        ),
        (
            {"chosen": turns("A?", "a"), "rejected": turns("B?", "b")},
            "chosen and rejected are not one answer each to one prompt, or they are the same",
        ),
        (
            {"chosen": turns("A?", "a", "B?"), "rejected": turns("A?", "a", "C?")},
            "chosen and rejected are not one answer each",
        ),
        (
            preference(chosen=turns("Ho?", "Hi!"), rejected=turns("Ho?", "No.")),
            "the prompt is another than that of the chosen",
        ),
        (preference(prompt=turns("Hi?", "Hm.")), "the conversation ends with 'assistant', not with 'user'"),
        (preference(images=["x"]), "pictures"),
        (
            preference(chosen=[{"role": "assistant", "content": [{"type": "image"}]}]),
            "a turn, or a part of it, that is no text",
        ),
        (
            {"prompt": "Hi?", "completion": "Hi!", "label": True},
            "a label of one answer compares it with none",
        ),
        ({"prompt": turns("Hi?", "Hi!")}, "a prompt that ends with the assistant's turn"),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
            "calls of tools",
        ),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "role: Input should be 'system', 'user' or 'assistant'",
        ),
        ({"messages": []}, "the conversation has no turns"),
    ],
)
def test_trl_rows_that_give_no_record_are_refused(tmp_path: Path, row: Any, reason: str):
    [item] = import_rows(tmp_path, "trl", row)
    assert isinstance(item, Refused)
    assert reason in item.reason


def test_equal_scores_of_a_trl_preference_tie(tmp_path: Path):
    [item] = import_rows(tmp_path, "trl", preference(score_chosen=5.0, score_rejected=5.0))
    assert [rank for _, rank in ranked_responses(item)] == [1, 1]


def test_closed_gaps_in_open_assistants_ranks_are_reported(tmp_path: Path):
    tree = copy.deepcopy(SAMPLES["open-assistant"])
    assert not any(isinstance(item, Changed) for item in import_rows(tmp_path, "open-assistant", tree))
    tree["prompt"]["replies"][1]["rank"] = 4
    [_, item] = import_rows(tmp_path, "open-assistant", tree)
    assert ranked_responses(item) == [("a", 1), ("b", 2)]
    assert item.changes == ("gaps between ranks closed",)
