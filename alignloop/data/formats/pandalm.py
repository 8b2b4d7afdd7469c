"""PandaLM's test set: three annotators compared the responses of two models, ties allowed.

https://github.com/WeOpenML/PandaLM

Each annotator gives a ranking: 1 and 2 name the better response, 0 is a tie. Where a model's response was
`True`, the file holds JSON's true: what the annotators saw is unknown, so the row is refused. An empty
response is a response. Instruction and input identify the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Imported, ImportedRow, convert_rows, has_keys
from alignloop.data.formats.record_builders import prompt, ranking

RANKS = {0: (1, 1), 1: (1, 2), 2: (2, 1)}


class Comparison(BaseModel):
    idx: int
    instruction: str
    input: str
    response1: str
    response2: str
    annotator1: Literal[0, 1, 2]
    annotator2: Literal[0, 1, 2]
    annotator3: Literal[0, 1, 2]
    motivation_app: str = ""


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Comparison, lambda comparison: _rankings(comparison, source))


def _rankings(comparison: Comparison, source: str) -> Iterator[Imported]:
    parts = (comparison.instruction.strip(), comparison.input.strip())
    text = "\n\n".join(part for part in parts if part)
    row_prompt = prompt("pandalm", [("user", text)], source, category=comparison.motivation_app)
    choices = (comparison.annotator1, comparison.annotator2, comparison.annotator3)
    for annotator, choice in enumerate(choices, 1):
        yield ranking(
            "pandalm",
            row_prompt,
            (comparison.response1, comparison.response2),
            RANKS[choice],
            labeler=f"pandalm-{annotator}",
            row=str(comparison.idx),
        )


PANDALM = Format(
    "{instruction, input, response1, response2, annotator1, annotator2, annotator3}",
    lambda row: has_keys(row, "response1", "response2", "annotator1"),
    _read,
)
