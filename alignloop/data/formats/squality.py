"""SQuALITY: questions on a story, each answered by four writers. https://github.com/nyu-mll/SQuALITY

The prompt is the story, followed by the question; each writer's response is a demonstration. The story
identifies the user, so that all its questions are in one split. Stories are long: `prepare` drops those
that exceed validate.max_characters.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Imported, ImportedRow, convert_rows, has_keys
from alignloop.data.formats.record_builders import demonstration
from alignloop.data.formats.written_values import WrittenId, WrittenInt, WrittenText


class Response(BaseModel):
    worker_id: WrittenId
    response_text: WrittenText


class Question(BaseModel):
    question_number: WrittenInt
    question_text: WrittenText
    responses: list[Response] = []


class Metadata(BaseModel):
    passage_id: WrittenId


class Story(BaseModel):
    metadata: Metadata
    document: WrittenText
    questions: list[Question]


def is_story(row: Any) -> bool:
    """Whether a row is a story with its questions."""
    return has_keys(row, "metadata", "document", "questions") and isinstance(row["questions"], list)


def prompt_text(story: Story, question: Question) -> str:
    """The prompt that a writer answered: the story, and the question."""
    return f"{story.document.strip()}\n\n{question.question_text.strip()}"


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Story, lambda story: _demonstrations(story, source))


def _demonstrations(story: Story, source: str) -> Iterator[Imported]:
    for question in story.questions:
        for response in question.responses:
            turns = [("user", prompt_text(story, question)), ("assistant", response.response_text)]
            yield demonstration(
                "squality",
                turns,
                source,
                labeler=f"squality-{response.worker_id}",
                user=story.metadata.passage_id,
            )


SQUALITY = Format(
    "{metadata, document, questions: [{question_text, responses: [{worker_id, response_text}]}]}",
    is_story,
    _read,
)
