"""SQuALITY's human evaluation: three reviewers each ranked the responses of three systems.

https://github.com/nyu-mll/SQuALITY

The file names a passage and the index of a question, from 0. The story and the question are in the data
set's own files, where questions are numbered from 1; these must be among the sources too, in any folder.
A question that they lack is refused, and so is one whose response by the system `human` is not among the
writers' responses there: then the numbers do not match. A reviewer is identified by `worker_id`, not by
the order of the reviews. `overall-rank` is the ranking; equal ratings with different ranks are not a tie,
since the reviewer put one of them first.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from alignloop.data.formats import containers, squality
from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    ranks_of,
    with_changes,
)
from alignloop.data.formats.record_builders import prompt, ranking
from alignloop.data.formats.written_values import WrittenId, WrittenInt, WrittenText
from alignloop.data.input_files import DataError

# the prompt and the writers' responses, by passage and index of the question
Questions = dict[tuple[str, str], tuple[str, set[str]]]


ASIDE = (
    "annotations",
    "system",
    "overall",
    "correctness-rating",
    "selection-rating",
    "overall-rating",
    "correctness-rank",
    "selection-rank",
)


class Review(BaseModel):
    worker_id: WrittenId
    overall_rank: Annotated[WrittenInt, Field(alias="overall-rank")]


class System(BaseModel):
    response: WrittenText
    reviews: list[Review]


class Passage(BaseModel):
    passage_id: Annotated[WrittenId, Field(alias="passage-id")]
    questions: dict[str, dict[str, System]]


def _matches(row: Any) -> bool:
    return has_keys(row, "passage-id", "questions") and isinstance(row["questions"], dict)


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    questions = _questions(path, source)
    return convert_rows(path, Passage, lambda passage: _rankings(passage, questions, source), ASIDE)


def _rankings(passage: Passage, stories: Questions, source: str) -> Iterator[Imported]:
    for number, systems in passage.questions.items():
        text, written = stories.get((passage.passage_id, number), (None, set()))
        human = systems.get("human")
        by_worker = [
            {review.worker_id: review.overall_rank for review in system.reviews}
            for system in systems.values()
        ]
        workers = list(dict.fromkeys(worker for ranks in by_worker for worker in ranks)) or [""]
        for worker in workers:
            ranks = [given[worker] for given in by_worker if worker in given]
            if text is None:
                yield Refused("its story and question stand in no SQuALITY file among the sources")
            elif human and human.response.strip() not in written:
                yield Refused("the human answer is none of the writers' answers to that question")
            elif len(ranks) < len(systems) or len(systems) < 2:
                yield Refused("a reviewer ranked not all answers, or there are fewer than two")
            else:
                row_prompt = prompt("squality", [("user", text)], source, user=passage.passage_id)
                order = ranks_of(ranks)
                record = ranking(
                    "squality",
                    row_prompt,
                    [system.response for system in systems.values()],
                    order,
                    labeler=f"squality-{worker}",
                )
                yield with_changes(record, "gaps between ranks closed" if list(order) != ranks else None)


def _questions(path: Path, source: str) -> Questions:
    """The questions of all stories among the sources: at most 127 stories of 30 kB."""
    depth = len(PurePosixPath(source).parts)
    root = path.parents[depth - 1] if path.parts[-depth:] == PurePosixPath(source).parts else path.parent
    questions: Questions = {}
    for file in sorted(root.rglob("*.jsonl*")):
        for story in _stories(file):
            for question in story.questions:
                written = {response.response_text.strip() for response in question.responses}
                questions[story.metadata.passage_id, str(question.question_number - 1)] = (
                    squality.prompt_text(story, question),
                    written,
                )
    return questions


def _stories(file: Path) -> Iterator[squality.Story]:
    """The stories of a file; none if it holds something else.

    Its faults are reported when it is imported itself.
    """
    try:
        for index, (_, row) in enumerate(containers.read(file)):
            if index == 0 and not squality.is_story(row):
                return
            try:
                yield squality.Story.model_validate(row, strict=True)
            except ValidationError:
                continue
    except DataError:
        return


SQUALITY_RANKINGS = Format(
    "{passage-id, questions: {number: {system: {response, reviews: [{worker_id, overall-rank}]}}}}",
    _matches,
    _read,
)
