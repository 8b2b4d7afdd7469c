"""Public formats, each read by one small file into our record types; a new format is a file here and a line below.

A format is a shape of rows; `rows` reads them from whatever holds them. The first in this order that a first row fits is the guess.
"""

from pathlib import Path
from typing import Any

from alignloop.data.formats import containers
from alignloop.data.formats.alpaca import ALPACA
from alignloop.data.formats.arena_hard import ARENA_HARD
from alignloop.data.formats.argilla import ARGILLA
from alignloop.data.formats.arrow import is_dataset
from alignloop.data.formats.columns import columns
from alignloop.data.formats.corpus import CORPUS
from alignloop.data.formats.dolly import DOLLY
from alignloop.data.formats.fastchat import FASTCHAT
from alignloop.data.formats.gsm8k import GSM8K
from alignloop.data.formats.hh_rlhf import HH_RLHF
from alignloop.data.formats.importer import Changed, Format, Item, Refused
from alignloop.data.formats.label_studio import LABEL_STUDIO
from alignloop.data.formats.oasst_qlora import OASST_QLORA
from alignloop.data.formats.open_assistant import OPEN_ASSISTANT
from alignloop.data.formats.own import OWN
from alignloop.data.formats.pandalm import PANDALM
from alignloop.data.formats.prompts import PROMPTS
from alignloop.data.formats.self_instruct import SELF_INSTRUCT
from alignloop.data.formats.sharegpt import SHAREGPT
from alignloop.data.formats.shp import SHP
from alignloop.data.formats.squality import SQUALITY
from alignloop.data.formats.squality_rankings import SQUALITY_RANKINGS
from alignloop.data.formats.summarize_from_feedback import SUMMARIZE_FROM_FEEDBACK
from alignloop.data.formats.taskmaster import TASKMASTER
from alignloop.data.formats.text import TEXT
from alignloop.data.formats.trl import TRL
from alignloop.data.formats.tulu import TULU
from alignloop.data.formats.ultrafeedback import ULTRAFEEDBACK
from alignloop.data.formats.webgpt import WEBGPT
from alignloop.data.record_files import Broken, DataError, opened, value_of

__all__ = ["FORMATS", "Changed", "Format", "Item", "Refused", "columns", "glance", "is_dataset", "sniff"]

FORMATS: dict[str, Format] = {
    "hh-rlhf": HH_RLHF,
    "open-assistant": OPEN_ASSISTANT,
    "oasst-qlora": OASST_QLORA,
    "summarize-from-feedback": SUMMARIZE_FROM_FEEDBACK,
    "webgpt": WEBGPT,
    "shp": SHP,
    "ultrafeedback": ULTRAFEEDBACK,
    "pandalm": PANDALM,
    "tulu": TULU,
    "squality-rankings": SQUALITY_RANKINGS,
    "squality": SQUALITY,
    "label-studio": LABEL_STUDIO,
    "argilla": ARGILLA,
    "gsm8k": GSM8K,
    "self-instruct": SELF_INSTRUCT,
    "alpaca": ALPACA,
    "dolly": DOLLY,
    "sharegpt": SHAREGPT,
    "taskmaster": TASKMASTER,
    "fastchat": FASTCHAT,
    "arena-hard": ARENA_HARD,
    "own": OWN,
    "trl": TRL,
    "prompts": PROMPTS,
    "corpus": CORPUS,
    "text": TEXT,
}

PLAIN = Refused("a line of text")


def sniff(path: Path) -> str:
    """The format's name by the source's first row. Raises DataError with what was seen when it is none of them."""
    if _named_text(path):
        return _named(_first_of_text(path)) or "text"
    line, row = _first(path)
    if row is None:
        raise DataError(f"{path}: the file is empty; remove it, or fetch it again")
    if name := _named(row):
        return name
    if isinstance(row, Refused):
        raise DataError(
            f"{path}:{line}: no format can be seen: {row.reason}: it begins with {_first_line(path)[:60]!r}; {_remedy()}"
        )
    raise DataError(f"{path}:{line}: no known format: its first row is {_told(row)}; {_remedy()}")


def glance(path: Path) -> str:
    """What a source's first row is, in words, and the format that it looks like."""
    row = _first_of_text(path) if _named_text(path) else _first(path)[1]
    like = _named(row)
    return f"the first row is {_told(row)}" + (f", which looks like {like}" if like else "")


def _first(path: Path) -> containers.Row:
    return next(containers.read(path), (0, None))


def _first_of_text(path: Path) -> Any:
    """The first row of a file that is called text: of one that begins like JSON Lines; a sentence in quotes is text."""
    with opened(path) as file:
        first = file.readline(containers.LONGEST)
        second = next(
            (line for line in iter(lambda: file.readline(containers.LONGEST), b"") if not line.isspace()),
            b"null",
        )
    try:
        row, _ = (value_of(line.decode(errors="replace")) for line in (first, second))
    except Broken:
        return PLAIN
    return PLAIN if isinstance(row, str) else row


def _first_line(path: Path) -> str:
    with opened(path) as file:
        return file.readline(containers.LONGEST).decode(errors="replace")


def _named(row: Any) -> str | None:
    return (
        None
        if isinstance(row, Refused)
        else next((name for name, each in FORMATS.items() if each.sees(row)), None)
    )


def _told(row: Any) -> str:
    if isinstance(row, Refused):
        return row.reason
    if isinstance(row, dict):
        return (
            f"an object of {', '.join(repr(key[:40]) for key in list(row)[:8])}"
            if row
            else "an object of nothing"
        )
    return f"a bare {type(row).__name__}"


def _named_text(path: Path) -> bool:
    return bool({".txt", ".md"} & set(path.suffixes)) and not path.is_dir()


def _remedy() -> str:
    known = "; ".join(f"{name}: {each.looks}" for name, each in FORMATS.items())
    return f"name its format in ingest.formats, 'skip' to leave it out, or map its columns in ingest.columns. Known are: {known}"
