"""UltraFeedback: the responses of four models, scored by a judge model on four aspects.

https://huggingface.co/datasets/openbmb/UltraFeedback

A response's score is the mean of its ratings, like the authors' `fine-grained_score`; equal means tie.
`overall_score` is not used: it is often 10 where the judge wrote 1. A response with an unrated aspect
(`N/A`) is dropped.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from pydantic import BaseModel

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
from alignloop.data.formats.role_marks import asked
from alignloop.data.formats.written_values import WrittenText

ASIDE = (
    "correct_answers",
    "incorrect_answers",
    "principle",
    "custom_system_prompt",
    "critique",
    "fine-grained_score",
    "overall_score",
    "Rationale",
    "Rationale For Rating",
    "Type",
)
RATING = re.compile(r"[0-9]{1,2}(\.[0-9]{1,2})?")


class Aspect(BaseModel):
    Rating: WrittenText


class Annotations(BaseModel):
    helpfulness: Aspect | None = None
    honesty: Aspect | None = None
    instruction_following: Aspect | None = None
    truthfulness: Aspect | None = None


class Completion(BaseModel):
    response: WrittenText
    annotations: Annotations


class Instruction(BaseModel):
    instruction: WrittenText
    completions: list[Completion]
    source: str | None = ""


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Instruction, lambda instruction: _ranking(instruction, source), ASIDE)


def _ranking(instruction: Instruction, source: str) -> Iterator[Imported]:
    scored = [
        (completion.response, score)
        for completion in instruction.completions
        if (score := _score(completion)) is not None
    ]
    if len(scored) < 2:
        yield Refused("fewer than two answers with all aspects rated")
        return
    row_prompt = prompt(
        "ultrafeedback", asked(instruction.instruction), source, category=instruction.source or ""
    )
    record = ranking(
        "ultrafeedback",
        row_prompt,
        [response for response, _ in scored],
        ranks_of([score for _, score in scored], "highest"),
        kind="judge",
    )
    yield with_changes(
        record, "answers without all ratings left out" if len(scored) < len(instruction.completions) else None
    )


def _score(completion: Completion) -> Fraction | None:
    """The exact mean of the ratings, for which their order is irrelevant; None if one is missing."""
    aspects = [getattr(completion.annotations, aspect) for aspect in Annotations.model_fields]
    ratings = [Fraction(aspect.Rating) for aspect in aspects if aspect and RATING.fullmatch(aspect.Rating)]
    return sum(ratings, Fraction()) / len(aspects) if len(ratings) == len(aspects) else None


ULTRAFEEDBACK = Format(
    "{instruction, completions: [{response, annotations: {helpfulness: {Rating}, …}}]}",
    lambda row: has_keys(row, "instruction", "completions"),
    _read,
)
