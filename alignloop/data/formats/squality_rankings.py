"""SQuALITY's human evaluation: each of three reviewers ranked three systems' answers. https://github.com/nyu-mll/SQuALITY

The file names a passage and a question's place, counted from 0; story and question stand in the dataset's own files, where questions are
numbered from 1, and which must lie among the sources too (any folder). What they do not hold is refused, and so is a question to which
the system called `human` gave no answer there: then the numbers do not match. A reviewer is known by `worker_id`, whatever the order of
the reviews; `overall-rank` is the ranking, and equal ratings below different ranks are no tie: the reviewers put one of them first.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from alignloop.data.formats import containers, squality
from alignloop.data.formats.importer import Format, Found, Item, Refused, changed, each, has, ranks_of
from alignloop.data.formats.record_builders import prompt, ranking
from alignloop.data.record_files import DataError

Questions = dict[
    tuple[str, str], tuple[str, set[str]]
]  # what is asked and what writers answered, by passage and place


class Review(BaseModel):
    worker_id: str
    overall_rank: Annotated[int, Field(alias="overall-rank")]


class System(BaseModel):
    response: str
    reviews: list[Review]


class Passage(BaseModel):
    passage_id: Annotated[str, Field(alias="passage-id")]
    questions: dict[str, dict[str, System]]


def _sees(row: Any) -> bool:
    return has(row, "passage-id", "questions") and isinstance(row["questions"], dict)


def _read(path: Path, source: str) -> Iterator[Item]:
    known = _questions(path, source)
    return each(path, Passage, lambda passage: _rankings(passage, known, source))


def _rankings(passage: Passage, known: Questions, source: str) -> Iterator[Found]:
    for number, systems in passage.questions.items():
        text, written = known.get((passage.passage_id, number), (None, set()))
        human = systems.get("human")
        by_worker = [
            {review.worker_id: review.overall_rank for review in system.reviews}
            for system in systems.values()
        ]
        workers = list(dict.fromkeys(worker for given in by_worker for worker in given)) or [""]
        for worker in workers:
            given = [each.get(worker) for each in by_worker]
            ranks = [rank for rank in given if rank is not None]
            if text is None:
                yield Refused("its story and question stand in no SQuALITY file among the sources")
            elif human and human.response.strip() not in written:
                yield Refused("the human answer is none of the writers' answers to that question")
            elif len(ranks) < len(systems) or len(systems) < 2:
                yield Refused("a reviewer ranked not all answers, or there are fewer than two")
            else:
                asked = prompt("squality", [("user", text)], source, user=passage.passage_id)
                order = ranks_of(ranks)
                made = ranking(
                    "squality",
                    asked,
                    [system.response for system in systems.values()],
                    order,
                    labeler=f"squality-{worker}",
                )
                yield changed(made, "gaps between ranks closed" if list(order) != ranks else None)


def _questions(path: Path, source: str) -> Questions:
    """Every question of the stories among the sources: 127 stories of 30 kB, at most."""
    depth = len(PurePosixPath(source).parts)
    root = path.parents[depth - 1] if path.parts[-depth:] == PurePosixPath(source).parts else path.parent
    known: Questions = {}
    for file in sorted(root.rglob("*.jsonl*")):
        for story in _stories(file):
            for question in story.questions:
                written = {answer.response_text.strip() for answer in question.responses}
                known[story.metadata.passage_id, str(question.question_number - 1)] = (
                    squality.asks(story, question),
                    written,
                )
    return known


def _stories(file: Path) -> Iterator[squality.Story]:
    """The stories of a file; none where it holds something else. What is broken in it is told when it is imported itself."""
    try:
        for place, (_, row) in enumerate(containers.read(file)):
            if place == 0 and not squality.sees(row):
                return
            try:
                yield squality.Story.model_validate(row, strict=True)
            except ValidationError:
                continue
    except DataError:
        return


SQUALITY_RANKINGS = Format(
    "{passage-id, questions: {number: {system: {response, reviews: [{worker_id, overall-rank}]}}}}",
    _sees,
    _read,
)
