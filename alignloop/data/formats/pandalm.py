"""PandaLM's test set: three annotators compared the answers of two models, ties allowed. https://github.com/WeOpenML/PandaLM

Each annotator gives a ranking: 1 and 2 name the better answer, 0 is a tie. Where a model's answer was `True` the file holds JSON's
true: what the people saw is not known, so the row is refused. An empty answer is one. Instruction and input are the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Found, Item, each, has
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


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Comparison, lambda comparison: _rankings(comparison, source))


def _rankings(given: Comparison, source: str) -> Iterator[Found]:
    text = "\n\n".join(part for part in (given.instruction.strip(), given.input.strip()) if part)
    asked = prompt("pandalm", [("user", text)], source, category=given.motivation_app)
    for place, choice in enumerate((given.annotator1, given.annotator2, given.annotator3), 1):
        yield ranking(
            "pandalm",
            asked,
            (given.response1, given.response2),
            RANKS[choice],
            labeler=f"pandalm-{place}",
            row=str(given.idx),
        )


PANDALM = Format(
    "{instruction, input, response1, response2, annotator1, annotator2, annotator3}",
    lambda row: has(row, "response1", "response2", "annotator1"),
    _read,
)
