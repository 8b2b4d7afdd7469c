"""FastChat's benchmark questions (MT-Bench, Vicuna): prompts of one or two turns. https://github.com/lm-sys/FastChat

The first turn is a prompt. A second one follows an answer that does not exist yet, so it is left out, which counts as changed.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, Field

from alignloop.data.formats.importer import Format, Found, Item, changed, each, has
from alignloop.data.formats.record_builders import prompt


class Question(BaseModel):
    turns: list[str] = Field(min_length=1)
    category: str = ""


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Question, lambda question: [_prompt(question, source)])


def _prompt(question: Question, source: str) -> Found:
    made = prompt("fastchat", [("user", question.turns[0])], source, category=question.category)
    return changed(
        made, "later turns left out: no answer stands between them" if len(question.turns) > 1 else None
    )


FASTCHAT = Format(
    "{question_id, category, turns: [text, …]}", lambda row: has(row, "question_id", "turns"), _read
)
