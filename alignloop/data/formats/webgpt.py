"""WebGPT comparisons: two answers to a question, each with a score of how much better it is than the other.

https://huggingface.co/datasets/openai/webgpt_comparisons

Two shapes are read: an array of two answers per line, as OpenAI published them, and the flat object of
the Hub. Equal scores tie. Quotes are not read; the marks that cite them, [1], stay in the answers. The
question identifies the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, RootModel

from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    ranks_of,
)
from alignloop.data.formats.record_builders import prompt, ranking
from alignloop.data.formats.written_values import WrittenNumber, WrittenText

ASIDE = ("quotes", "quotes_0", "quotes_1", "tokens_0", "tokens_1")


class Question(BaseModel):
    full_text: WrittenText
    dataset: str | None = "webgpt"


class Answer(BaseModel):
    question: Question
    answer: WrittenText
    score: WrittenNumber


class Flat(BaseModel):
    question: Question
    answer_0: WrittenText
    answer_1: WrittenText
    score_0: WrittenNumber
    score_1: WrittenNumber


class Pair(RootModel[list[Answer]]):
    root: list[Answer] = Field(min_length=2, max_length=2)


class Comparison(RootModel[Flat | Pair]):
    pass


def _matches(row: Any) -> bool:
    pair = (
        isinstance(row, list)
        and len(row) == 2
        and all(has_keys(answer, "question", "answer", "score") for answer in row)
    )
    return pair or has_keys(row, "question", "answer_0", "answer_1", "score_0", "score_1")


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Comparison, lambda comparison: _ranking(comparison.root, source), ASIDE)


def _ranking(comparison: Flat | Pair, source: str) -> Iterator[Imported]:
    if isinstance(comparison, Flat):
        question = comparison.question
        responses = (comparison.answer_0, comparison.answer_1)
        scores = (comparison.score_0, comparison.score_1)
    else:
        first, second = comparison.root
        if first.question != second.question:
            yield Refused("two answers to two questions")
            return
        question = first.question
        responses = (first.answer, second.answer)
        scores = (first.score, second.score)
    row_prompt = prompt("webgpt", [("user", question.full_text)], source, category=question.dataset or "")
    yield ranking("webgpt", row_prompt, responses, ranks_of(scores, "highest"))


WEBGPT = Format(
    "{question: {full_text}, answer_0, answer_1, score_0, score_1}, or two such answers in an array",
    _matches,
    _read,
)
