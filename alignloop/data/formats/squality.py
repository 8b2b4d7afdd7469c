"""SQuALITY: questions on a story, each answered by four writers. https://github.com/nyu-mll/SQuALITY

The prompt is the story and the question below it; each writer's answer is a demonstration. The story is the user, so that all that
is asked about one falls into one split. Stories are long: `prepare` drops what passes validate.max_characters.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Found, Item, each, has
from alignloop.data.formats.record_builders import demonstration


class Response(BaseModel):
    worker_id: str
    response_text: str


class Question(BaseModel):
    question_number: int
    question_text: str
    responses: list[Response] = []


class Metadata(BaseModel):
    passage_id: str


class Story(BaseModel):
    metadata: Metadata
    document: str
    questions: list[Question]


def sees(row: Any) -> bool:
    """Whether a row is a story with its questions."""
    return has(row, "metadata", "document", "questions") and isinstance(row["questions"], list)


def asks(story: Story, question: Question) -> str:
    """What a writer had to read: the story, and the question."""
    return f"{story.document.strip()}\n\n{question.question_text.strip()}"


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Story, lambda story: _demonstrations(story, source))


def _demonstrations(story: Story, source: str) -> Iterator[Found]:
    for question in story.questions:
        for answer in question.responses:
            turns = [("user", asks(story, question)), ("assistant", answer.response_text)]
            yield demonstration(
                "squality",
                turns,
                source,
                labeler=f"squality-{answer.worker_id}",
                user=story.metadata.passage_id,
            )


SQUALITY = Format(
    "{metadata, document, questions: [{question_text, responses: [{worker_id, response_text}]}]}", sees, _read
)
