"""UltraFeedback: four models' answers, scored by a judge model on four aspects. https://huggingface.co/datasets/openbmb/UltraFeedback

An answer's score is the mean of its aspects' ratings, as the authors' `fine-grained_score` is; equal means are ties. `overall_score` is
not used: where the judge wrote 1 it often says 10. An answer with an aspect that is not rated (`N/A`) is left out.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Found, Item, Refused, changed, each, has, ranks_of
from alignloop.data.formats.record_builders import prompt, ranking

RATING = re.compile(r"[0-9]{1,2}(\.[0-9]{1,2})?")


class Aspect(BaseModel):
    Rating: str


class Annotations(BaseModel):
    helpfulness: Aspect | None = None
    honesty: Aspect | None = None
    instruction_following: Aspect | None = None
    truthfulness: Aspect | None = None


class Completion(BaseModel):
    response: str
    annotations: Annotations


class Instruction(BaseModel):
    instruction: str
    completions: list[Completion]
    source: str = ""


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Instruction, lambda instruction: _ranking(instruction, source))


def _ranking(given: Instruction, source: str) -> Iterator[Found]:
    scored = [(each.response, score) for each in given.completions if (score := _score(each)) is not None]
    if len(scored) < 2:
        yield Refused("fewer than two answers with all aspects rated")
        return
    asked = prompt("ultrafeedback", [("user", given.instruction)], source, category=given.source)
    made = ranking(
        "ultrafeedback",
        asked,
        [each for each, _ in scored],
        ranks_of([score for _, score in scored], "highest"),
        kind="judge",
    )
    yield changed(
        made, "answers without all ratings left out" if len(scored) < len(given.completions) else None
    )


def _score(completion: Completion) -> Fraction | None:
    """The exact mean, so that equal ratings in another order still tie."""
    aspects = [getattr(completion.annotations, aspect) for aspect in Annotations.model_fields]
    ratings = [Fraction(aspect.Rating) for aspect in aspects if aspect and RATING.fullmatch(aspect.Rating)]
    return sum(ratings, Fraction()) / len(aspects) if len(ratings) == len(aspects) else None


ULTRAFEEDBACK = Format(
    "{instruction, completions: [{response, annotations: {helpfulness: {Rating}, …}}]}",
    lambda row: has(row, "instruction", "completions"),
    _read,
)
