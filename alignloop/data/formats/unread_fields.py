"""Finds what a format would lose of a row: fields that it does not read and that are not mere metadata.

Empty fields are nothing to lose, and neither is a text that also stands in a field that is read.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

SHOWN = 4  # names in one reason
# names of fields that say where a row comes from, not what is to be learned from it
METADATA = frozenset(
    re.findall(
        r"\w+",
        """
author avatarurl batch categories category config created creator custom_id date dataset difficulty
domain dump file filename format generation_model generator hash id ids idx index index_id info key
keywords lang language license licence line link meta metadata method model model_name models name
num_tokens num_turns nsfw number origin original_dataset path provenance publisher seed_task
skip_prompt_formatting source sources split subcategory subreddit subset tag tags task task_name
task_type time timestamp title token_count token_length tokens topic topics tstamp turn turns_count uid
updated url user uuid version views
""",
    )
)
ENDINGS = ("_id", "_ids", "_at", "_date", "_hash", "_model", "_name", "_source", "_time", "_url", "_tokens")
# names whose content changes what a row means, in whatever format they stand
MEANING = frozenset(
    re.findall(
        r"\w+",
        """
chosen functions history loss rejected system system_message system_prompt tool_calls tools weight weights
""",
    )
)


def unread(row: Mapping[str, Any], read: Collection[str], turn: Collection[str] = ()) -> list[str]:
    """What of a row is lost by a format that reads the fields `read`, and `turn` of every turn in them."""
    texts: set[str] | None = None
    lost = []
    for name, value in row.items():
        if name in read or is_empty(value) or is_metadata(name):
            continue
        if isinstance(value, str | list):
            texts = _texts(row, read) if texts is None else texts
            if isinstance(value, str) and value.strip() in texts:
                continue
        lost.append(repr(name[:40]))
    if turn:
        inside = {
            repr(name[:40])
            for field in read
            for each in _turns(row.get(field))
            for name, value in each.items()
            if name not in turn and not is_empty(value) and not is_metadata(name)
        }
        lost += [f"{name} of a turn" for name in sorted(inside)]
    return lost


def meaning_lost(row: Mapping[str, Any], read: Collection[str]) -> list[str]:
    """The fields that no format may leave unread, and that this one does not read."""
    return [repr(name) for name, value in row.items() if name in MEANING - {*read} and not is_empty(value)]


def reason(names: list[str]) -> str:
    """Why a row with such fields is refused."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"this format does not read {', '.join(names[:SHOWN])}{more}, which would be lost"


def is_metadata(name: str) -> bool:
    """Whether a field of this name says where a row comes from."""
    plain = name.lower().replace("-", "_").lstrip("_")
    return plain in METADATA or plain.endswith(ENDINGS)


def is_empty(value: Any) -> bool:
    """Whether a field holds nothing: null, an empty text, list or object, or an object of nulls."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, list | tuple):
        return not value
    if isinstance(value, dict):
        return all(part is None for part in value.values())
    return value is None


def _texts(row: Mapping[str, Any], read: Collection[str]) -> set[str]:
    fields = [row[name] for name in read if name in row]
    contents = [value for field in fields for each in _turns(field) for value in each.values()]
    return {text.strip() for text in (*fields, *contents) if isinstance(text, str)}


def _turns(field: Any) -> Iterator[dict[str, Any]]:
    for each in field if isinstance(field, list) else [field]:
        if isinstance(each, dict):
            yield each
