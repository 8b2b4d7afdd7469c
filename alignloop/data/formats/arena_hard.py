"""Arena-Hard: hard prompts from users of Chatbot Arena. https://github.com/lmarena/arena-hard-auto"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, ImportedRow, convert_rows, has_keys
from alignloop.data.formats.record_builders import prompt
from alignloop.records import Prompt


class Question(BaseModel):
    uid: str
    prompt: str
    category: str = ""
    subcategory: str = ""


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Question, lambda question: [_prompt(question, source)])


def _prompt(question: Question, source: str) -> Prompt:
    category = question.subcategory or question.category
    return prompt("arena-hard", [("user", question.prompt)], source, category=category)


ARENA_HARD = Format(
    "{uid, category, prompt}",
    lambda row: has_keys(row, "uid", "category", "prompt", other=("subcategory", "cluster")),
    _read,
)
