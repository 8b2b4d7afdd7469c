"""Arena-Hard: hard prompts of Chatbot Arena's users. https://github.com/lmarena/arena-hard-auto"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Item, each, has
from alignloop.data.formats.record_builders import prompt


class Question(BaseModel):
    uid: str
    prompt: str
    category: str = ""
    subcategory: str = ""


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(
        path,
        Question,
        lambda given: [
            prompt(
                "arena-hard", [("user", given.prompt)], source, category=given.subcategory or given.category
            )
        ],
    )


ARENA_HARD = Format(
    "{uid, category, prompt}",
    lambda row: has(row, "uid", "category", "prompt", other=("subcategory", "cluster")),
    _read,
)
