"""GSM8K: school mathematics with worked answers by people, which end with `#### n`.

https://github.com/openai/grade-school-math

The `<<16-3=13>>` marks are for a calculator, not for the reader: they are removed from the answer.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.content_ids import content_id
from alignloop.data.formats.importer import Changed, Format, ImportedRow, convert_rows, has_keys, with_changes
from alignloop.data.formats.written_values import WrittenText
from alignloop.records import Demonstration, Message

CALCULATOR = re.compile(r"<<[^<>]*>>")


class Problem(BaseModel):
    question: WrittenText
    answer: WrittenText


def _matches(row: Any) -> bool:
    return (
        has_keys(row, "question", "answer")
        and isinstance(row["question"], str)
        and "\n#### " in str(row["answer"])
    )


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Problem, lambda problem: [_demonstration(problem, source)])


def _demonstration(problem: Problem, source: str) -> Demonstration | Changed:
    question, answer = problem.question.strip(), CALCULATOR.sub("", problem.answer).strip()
    record = Demonstration(
        id=content_id("gsm8k", question, answer),
        messages=(Message(role="user", content=question), Message(role="assistant", content=answer)),
        user=content_id("gsm8k", question),
        labeler="gsm8k",
        category="mathematics",
        source=source,
    )
    return with_changes(
        record, "the calculator's marks taken out" if CALCULATOR.search(problem.answer) else None
    )


GSM8K = Format("{question, answer}: an answer that ends with '#### n'", _matches, _read)
