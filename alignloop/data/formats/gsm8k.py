"""GSM8K: school mathematics with people's worked answers, `#### n` at the end. https://github.com/openai/grade-school-math

The `<<16-3=13>>` marks were written for a calculator, not for the reader: they are taken out of the answer.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.content_ids import identify
from alignloop.data.formats.importer import Changed, Format, Item, changed, each, has
from alignloop.records import Demonstration, Message

CALCULATOR = re.compile(r"<<[^<>]*>>")


class Problem(BaseModel):
    question: str
    answer: str


def _sees(row: Any) -> bool:
    return (
        has(row, "question", "answer")
        and isinstance(row["question"], str)
        and "\n#### " in str(row["answer"])
    )


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Problem, lambda problem: [_demonstration(problem, source)])


def _demonstration(problem: Problem, source: str) -> Demonstration | Changed:
    question, answer = problem.question.strip(), CALCULATOR.sub("", problem.answer).strip()
    made = Demonstration(
        id=identify("gsm8k", question, answer),
        messages=(Message(role="user", content=question), Message(role="assistant", content=answer)),
        user=identify("gsm8k", question),
        labeler="gsm8k",
        category="mathematics",
        source=source,
    )
    return changed(made, "the calculator's marks taken out" if CALCULATOR.search(problem.answer) else None)


GSM8K = Format("{question, answer}: an answer that ends with '#### n'", _sees, _read)
