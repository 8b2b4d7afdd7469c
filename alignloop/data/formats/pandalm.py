"""PandaLM's test set: three annotators compared the responses of two models, ties allowed.

https://github.com/WeOpenML/PandaLM

Each annotator gives a ranking: 1 and 2 name the better response, 0 is a tie. Where a model's response was
`True`, the file holds JSON's true: what the annotators saw is unknown, so the row is refused. An empty
response is a response. Instruction and input identify the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator

from alignloop.data.formats.importer import Format, Imported, ImportedRow, convert_rows, has_keys
from alignloop.data.formats.record_builders import prompt, ranking
from alignloop.data.formats.role_marks import asked
from alignloop.data.formats.written_values import WrittenId, WrittenText, as_number

ASIDE = ("cmp_key",)  # the names of the two models
RANKS = {0: (1, 1), 1: (1, 2), 2: (2, 1)}


Choice = Annotated[Literal[0, 1, 2], BeforeValidator(as_number)]


class Comparison(BaseModel):
    idx: WrittenId = ""
    instruction: WrittenText
    input: WrittenText | None = ""
    response1: WrittenText
    response2: WrittenText
    annotator1: Choice
    annotator2: Choice
    annotator3: Choice
    motivation_app: str | None = ""


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Comparison, lambda comparison: _rankings(comparison, source), ASIDE)


def _rankings(comparison: Comparison, source: str) -> Iterator[Imported]:
    parts = (comparison.instruction.strip(), (comparison.input or "").strip())
    text = "\n\n".join(part for part in parts if part)
    row_prompt = prompt("pandalm", asked(text), source, category=comparison.motivation_app or "")
    choices = (comparison.annotator1, comparison.annotator2, comparison.annotator3)
    for annotator, choice in enumerate(choices, 1):
        yield ranking(
            "pandalm",
            row_prompt,
            (comparison.response1, comparison.response2),
            RANKS[choice],
            labeler=f"pandalm-{annotator}",
            row=comparison.idx,
        )


PANDALM = Format(
    "{instruction, input, response1, response2, annotator1, annotator2, annotator3}",
    lambda row: has_keys(row, "response1", "response2", "annotator1"),
    _read,
)
