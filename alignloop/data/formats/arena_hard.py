"""Arena-Hard: hard prompts from users of Chatbot Arena. https://github.com/lmarena/arena-hard-auto"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, ImportedRow, convert_rows, has_keys
from alignloop.data.formats.record_builders import prompt
from alignloop.data.formats.role_marks import asked
from alignloop.data.formats.written_values import WrittenId, WrittenText
from alignloop.records import Prompt

ASIDE = ("cluster",)


class Question(BaseModel):
    uid: WrittenId = ""
    prompt: WrittenText
    category: str | None = ""
    subcategory: str | None = ""


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Question, lambda question: [_prompt(question, source)], ASIDE)


def _prompt(question: Question, source: str) -> Prompt:
    category = question.subcategory or question.category or ""
    return prompt("arena-hard", asked(question.prompt), source, category=category)


ARENA_HARD = Format(
    "{uid, category, prompt}",
    lambda row: has_keys(row, "uid", "category", "prompt", other=("subcategory", "cluster")),
    _read,
)
