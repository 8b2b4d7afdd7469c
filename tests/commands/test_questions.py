"""`python -m alignloop questions`: two policies answer, a judge model compares, nothing is paid for twice."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.__main__ import main
from alignloop.core.models import load_policy, new_policy, save_policy
from alignloop.core.tokens import encode_prompt
from alignloop.evaluation.question_answers import Answers, Drawing, answer, dialogue
from alignloop.evaluation.questions import Question, read_questions
from alignloop.pipeline.overrides import override
from tests.chat_server import serving
from tests.stages.judge_endpoint import Endpoint

ROWS = [
    {"question_id": 81, "category": "writing", "turns": ["Is the sea green?", "Who painted it?"]},
    {"question_id": 82, "category": "writing", "turns": ["Who knows?"], "reference": ["Nobody."]},
    {"question_id": 83, "category": "facts/sea", "turns": ["Is the door full of salt?"]},
]


@pytest.fixture
def judge() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    with serving(endpoint):
        yield endpoint


@pytest.fixture
def files(project: Path, tiny_policy: Path, judge: Endpoint) -> Path:
    shutil.copytree(tiny_policy, project / "sft")
    _, tokenizer = load_policy(tiny_policy)
    save_policy(new_policy(tokenizer, 1, 16, 2, context=96, seed=5), tokenizer, project / "other")
    (project / "mt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    changes = {"evaluate.judge.url": judge.url, "decoding.max_new_tokens": 6, "evaluate.judge.max_calls": 20}
    override(project / "params.yaml", changes=changes)
    return project


def ask(*words: str) -> int:
    return main(["questions", "mt.jsonl", "--policy", "sft", *words])


def test_win_rates_by_category_with_the_transcript_and_nothing_paid_for_twice(
    files: Path, judge: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask("--against", "other", "--out", "numbers.json") == 0
    report = json.loads((files / "numbers.json").read_text())
    assert list(report["categories"]) == ["facts/sea", "writing"]
    assert (report["all"]["n"], report["calls"]) == (3, 6)
    [kept] = files.rglob("mlruns/**/transcript.jsonl")
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["81", "82", "83"]
    assert [len(row["answers"]) for row in rows] == [2, 1, 1]

    def size(answers: list[str], turns: list[str]) -> int:
        later = sum(len(f"\n\n[user]\n{turn}\n\n[assistant]\n") for turn in turns[1:])
        return sum(map(len, answers)) + later

    for row in rows:  # this judge prefers what is longer
        one, other = size(row["answers"], row["turns"]), size(row["other_answers"], row["turns"])
        assert row["outcome"] == (1 + (one > other) - (one < other)) / 2
    won = sum(row["outcome"] for row in rows if row["category"] == "writing") / 2
    assert report["categories"]["writing"]["rate"] == pytest.approx(won)
    assert report["categories"]["writing"]["low"] <= won <= report["categories"]["writing"]["high"]
    said = capsys.readouterr().out
    assert "position bias +0.000; 6 requests" in said
    assert "left out: 0 too long, 0 without answers of both" in said
    first = judge.asked[0]["messages"][1]["content"]
    assert first.count("[user]\nWho painted it?") == 2, "each answer is the whole dialogue of its policy"

    assert ask("--against", "other", "--out", "again.json") == 0
    assert "0 requests" in capsys.readouterr().out
    again = json.loads((files / "again.json").read_text())
    assert again == report | {"calls": 0}
    points = tracking.runs(files, "questions")
    assert len(points) == 2


def test_a_file_of_answers_is_a_baseline_and_what_it_lacks_is_counted(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"question_id": 81, "model_id": "m", "choices": [{"index": 0, "turns": ["Only one turn."]}]},
        {"question_id": 82, "model_id": "m", "choices": [{"index": 0, "turns": ["A" * 200]}]},
        {
            "uid": "83",
            "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": {"answer": ""}}],
        },
    ]
    (files / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert ask("--against", "answers.jsonl", "--out", "numbers.json") == 0
    report = json.loads((files / "numbers.json").read_text())
    assert (report["unanswered"], report["all"]["n"]) == (1, 2)
    assert report["categories"]["writing"]["lost"] == 1, "200 letters are longer"
    (files / "answers.jsonl").write_text(json.dumps({"question_id": 9, "answers": ["x"]}) + "\n")
    capsys.readouterr()
    assert ask("--against", "answers.jsonl") == 1
    assert "no question has answers of both" in capsys.readouterr().err


def test_an_interrupted_run_draws_only_what_is_missing_to_the_same_answers(
    tmp_path: Path, tiny_policy: Path
) -> None:
    model, tokenizer = load_policy(tiny_policy)
    questions = [Question(str(n), "c", ("Is it green?", "Who knows?")[: 1 + n % 2]) for n in range(5)]
    how = Drawing(name="m", seed=1, temperature=1.0, max_new_tokens=6, batch=2)
    whole, part, again = (Answers({}, []) for _ in range(3))
    assert list(answer(model, tokenizer, questions, how, folder=tmp_path / "whole", found=whole))[-1] == (
        7,
        7,
    )
    begun = answer(model, tokenizer, questions, how, folder=tmp_path / "part", found=part)
    assert [next(begun), next(begun)] == [(2, 7), (4, 7)]
    begun.close()
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "part").iterdir()}
    list(answer(model, tokenizer, questions, how, folder=tmp_path / "part", found=again))
    assert again == whole
    assert {file: file.stat().st_mtime_ns for file in before} == before
    wide = Answers({}, [])
    list(answer(model, tokenizer, questions, replace(how, batch=5), folder=tmp_path / "wide", found=wide))
    assert wide == whole, "an answer does not depend on what is drawn beside it"


def test_a_dialogue_that_does_not_fit_is_left_out_and_counted(tmp_path: Path, tiny_policy: Path) -> None:
    model, tokenizer = load_policy(tiny_policy)
    long = Question("long", "c", ("Is it green?", "salt " * 100))
    short = Question("short", "c", ("Is it green?",))
    assert len(encode_prompt(tokenizer, dialogue(long, ["No."]))) > 96
    found = Answers({}, [])
    how = Drawing(name="m", seed=1, temperature=1.0, max_new_tokens=6, batch=8)
    assert list(answer(model, tokenizer, [long, short], how, folder=tmp_path, found=found)) == [(2, 3)]
    assert (list(found.by_id), found.too_long) == (["short"], ["long"])


def test_what_cannot_be_asked_is_one_message(
    files: Path, judge: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    override(files / "params.yaml", changes={"evaluate.judge.max_calls": 4, "evaluate.judge.prompts": 2})
    assert ask("--against", "other") == 1
    assert "3 questions in both orders need 6 requests to the judge, and evaluate.judge.max_calls is 4" in (
        capsys.readouterr().err
    )
    assert not (files / ".cache" / "questions").exists(), "nothing was drawn"
    assert ask("--against", "other", "--limit", "2") == 0
    for rows, said in (
        ([{"question_id": 1}], "mt.jsonl:1: needs an id (question_id, uid or id) and the text of a turn"),
        ([{"uid": "a", "prompt": " "}], "mt.jsonl:1: needs an id"),
        ([{"uid": "a", "prompt": "x"}] * 2, "mt.jsonl: the id a stands in two rows"),
        ([["x"]], "mt.jsonl:1: is no object with keys"),
    ):
        (files / "mt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert ask("--against", "other") == 1
        assert said in capsys.readouterr().err
    kept = set((files / ".cache" / "questions").rglob("*.json"))
    judge.first += ["no ranks"] * 20
    (files / "mt.jsonl").write_text(json.dumps({"uid": "n", "prompt": "Who is it?"}) + "\n")
    override(files / "params.yaml", changes={"evaluate.judge.max_calls": 5})
    assert ask("--against", "other") == 1
    assert "evaluate.judge" in capsys.readouterr().err
    new = set((files / ".cache" / "questions").rglob("*.json")) - kept
    assert len(new) == 2, "the answers of both are kept"


def test_arena_hards_rows_are_questions_of_one_turn(tmp_path: Path) -> None:
    rows = [
        {"uid": "a", "category": "hard_prompt", "subcategory": "coding", "prompt": "Write it."},
        {"question_id": "b", "category": "arena", "turns": [{"content": "Say it."}]},
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_questions(tmp_path / "q.jsonl") == [
        Question("a", "hard_prompt", ("Write it.",)),
        Question("b", "arena", ("Say it.",)),
    ]
