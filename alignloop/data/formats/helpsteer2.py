"""HelpSteer2: rows of a prompt and a rated response; neighbouring rows of one prompt are compared.

https://huggingface.co/datasets/nvidia/HelpSteer2

The ranking is by helpfulness, which the authors' preference models learn; equal ratings tie. The other four
ratings are not read.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats import containers
from alignloop.data.formats.importer import Format, ImportedRow, Refused, convert_rows, has_keys, ranks_of
from alignloop.data.formats.record_builders import prompt, ranking
from alignloop.data.formats.role_marks import asked
from alignloop.data.formats.written_values import WrittenNumber, WrittenText

ASIDE = ("correctness", "coherence", "complexity", "verbosity")
LATER_TURNS = "<extra_id_"  # how a prompt of several turns is marked


class Rated(BaseModel):
    prompt: WrittenText
    response: WrittenText
    helpfulness: WrittenNumber


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    rows = convert_rows(path, Rated, lambda row: [row], ASIDE)
    for text, neighbours in groupby(rows, lambda row: row[1].prompt if isinstance(row[1], Rated) else None):
        group = list(neighbours)
        rated = [(line, row) for line, row in group if isinstance(row, Rated)]
        yield from ((line, row) for line, row in group if isinstance(row, Refused))
        if text is None:
            continue
        responses = [row.response for _, row in rated]
        if reason := _refusal(text, responses):
            yield from ((line, Refused(reason)) for line, _ in rated)
            continue
        ranks = ranks_of([row.helpfulness for _, row in rated], "highest")
        yield (
            rated[0][0],
            ranking("helpsteer2", prompt("helpsteer2", asked(text), source), responses, ranks),
        )


def _prompts(path: Path) -> Iterator[tuple[int, str]]:
    return ((line, str(row.get("prompt"))) for line, row in containers.read(path) if isinstance(row, dict))


def _refusal(text: str, responses: list[str]) -> str | None:
    if LATER_TURNS in text:
        return "a prompt of several turns"
    if not text.strip():
        return "an empty prompt"
    if len({response.strip() for response in responses}) < 2:
        return "no other response to the same prompt stands next to it"
    return None


HELPSTEER2 = Format(
    "{prompt, response, helpfulness, …}, the rows of a prompt one after the other",
    lambda row: has_keys(row, "prompt", "response", "helpfulness"),
    _read,
    belongs=_prompts,
)
