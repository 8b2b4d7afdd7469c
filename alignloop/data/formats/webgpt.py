"""WebGPT comparisons: two answers to a question with a score each, how much better it is than the other. https://huggingface.co/datasets/openai/webgpt_comparisons

Both shapes are read: OpenAI's, an array of two answers a line, and the Hub's, one flat object. Equal scores are ties. Quotes are
not read; the marks that cite them, [1], stay in the answers. The question is the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, FiniteFloat, RootModel

from alignloop.data.formats.importer import Format, Found, Item, Refused, each, has, ranks_of
from alignloop.data.formats.record_builders import prompt, ranking


class Question(BaseModel):
    full_text: str
    dataset: str = "webgpt"


class Answer(BaseModel):
    question: Question
    answer: str
    score: FiniteFloat


class Flat(BaseModel):
    question: Question
    answer_0: str
    answer_1: str
    score_0: FiniteFloat
    score_1: FiniteFloat


class Pair(RootModel[list[Answer]]):
    root: list[Answer] = Field(min_length=2, max_length=2)


class Comparison(RootModel[Flat | Pair]):
    pass


def _sees(row: Any) -> bool:
    pair = (
        isinstance(row, list)
        and len(row) == 2
        and all(has(answer, "question", "answer", "score") for answer in row)
    )
    return pair or has(row, "question", "answer_0", "answer_1", "score_0", "score_1")


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Comparison, lambda comparison: _ranking(comparison.root, source))


def _ranking(given: Flat | Pair, source: str) -> Iterator[Found]:
    if isinstance(given, Flat):
        question, answers, scores = (
            given.question,
            (given.answer_0, given.answer_1),
            (given.score_0, given.score_1),
        )
    else:
        first, second = given.root
        if first.question != second.question:
            yield Refused("two answers to two questions")
            return
        question, answers, scores = first.question, (first.answer, second.answer), (first.score, second.score)
    asked = prompt("webgpt", [("user", question.full_text)], source, category=question.dataset)
    yield ranking("webgpt", asked, answers, ranks_of(scores, "highest"))


WEBGPT = Format(
    "{question: {full_text}, answer_0, answer_1, score_0, score_1}, or two such answers in an array",
    _sees,
    _read,
)
