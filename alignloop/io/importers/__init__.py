"""Public formats, each read by one small file into our record types; a new format is a file here and a line below."""

import json
from pathlib import Path

from alignloop.io import datasets
from alignloop.io.datasets import DataError
from alignloop.io.importers.gsm8k import GSM8K
from alignloop.io.importers.hh_rlhf import HH_RLHF
from alignloop.io.importers.item import Format, Item, Refused
from alignloop.io.importers.open_assistant import OPEN_ASSISTANT
from alignloop.io.importers.own import OWN
from alignloop.io.importers.self_instruct import SELF_INSTRUCT
from alignloop.io.importers.text import TEXT

__all__ = ["FORMATS", "Format", "Item", "Refused", "sniff"]

FORMATS: dict[str, Format] = {
    "hh-rlhf": HH_RLHF,
    "open-assistant": OPEN_ASSISTANT,
    "gsm8k": GSM8K,
    "self-instruct": SELF_INSTRUCT,
    "own": OWN,
    "text": TEXT,
}


def sniff(path: Path) -> str:
    """The format's name by the file's first line. Raises DataError with what was seen when it is none of them."""
    line = next((text for _, text in datasets.read_text(path)), "")
    if not line.strip() and not _named_text(path):
        raise DataError(f"{path}: the file is empty, or its first line is; remove it, or fetch it again")
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        if _named_text(path):
            return "text"
        raise DataError(f"{path}:1: neither JSON Lines nor called .txt: it begins with {line[:60]!r}; {_remedy()}") from None
    for name, each in FORMATS.items():
        if isinstance(row, dict) and each.sees(row):
            return name
    if _named_text(path):
        return "text"
    seen = f"an object of {', '.join(map(repr, list(row)[:8]))}" if isinstance(row, dict) else f"a bare {type(row).__name__}"
    raise DataError(f"{path}:1: no known format: its first line is {seen}; {_remedy()}")


def _named_text(path: Path) -> bool:
    return bool({".txt", ".md"} & set(path.suffixes))


def _remedy() -> str:
    known = "; ".join(f"{name}: {each.looks}" for name, each in FORMATS.items())
    return f"name its format in ingest.formats, 'skip' to leave it out, or convert it. Known are: {known}"
