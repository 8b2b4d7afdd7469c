"""Finds what a format would lose of a row: fields that it does not read and that are not mere metadata.

Objects inside a row (turns, responses) are looked at like the row itself. Empty fields are nothing to lose,
and neither is a text that also stands in a field that is read.
"""

import re
import types
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, RootModel
from pydantic.fields import FieldInfo

SHOWN = 4  # names in one reason
INDEX = ("unnamed: ", "index_level_")  # what pandas calls the index of a table that it has written
# names of fields that say where a row comes from, not what is to be learned from it
METADATA = frozenset(
    re.findall(
        r"\w+",
        """
author avatarurl batch categories category config created creator custom_id dataset dataset_name date
difficulty domain dump file filename format generation_model generator hash id ids idx index index_id info
key keywords lang language license licence line link meta metadata method model model_name models name
num_tokens num_turns nsfw number origin original_dataset path provenance publisher seed_task
skip_prompt_formatting source sources split subcategory subreddit subset tag tags task task_name
task_type time timestamp title token_count token_length tokens topic topics tstamp turn turns_count uid
updated url user uuid version views
""",
    )
)
ENDINGS = ("_id", "_ids", "_at", "_date", "_hash", "_model", "_name", "_source", "_time", "_url", "_tokens")


class Shape(NamedTuple):
    """What a type reads of a JSON value: the objects it may be, and the types of its items and values."""

    objects: tuple[type[BaseModel], ...] = ()
    items: tuple[Any, ...] = ()
    values: tuple[Any, ...] = ()


def unread(row: Any, schema: type[BaseModel], aside: Collection[str] = ()) -> list[str]:
    """What of a row is lost by a format that reads it as `schema`; names in `aside` may be lost anywhere."""
    lost = list(_lost(row, (schema,), frozenset(aside), ""))
    if lost and isinstance(row, dict):
        read = names_of(schema)
        texts = {text.strip() for name in read & row.keys() for text in _texts(row[name])}
        lost = [
            (name, place)
            for name, place in lost
            if place or not isinstance(row[name], str) or row[name].strip() not in texts
        ]
    named = (repr(name[:40]) + (f" in {place[:40]!r}" if place else "") for name, place in lost)
    return list(dict.fromkeys(named))


def beside(fields: Mapping[str, Any], read: Collection[str], aside: Collection[str] = ()) -> list[str]:
    """What of an object is lost where only the fields `read` are read."""
    return [
        repr(name[:40])
        for name, value in fields.items()
        if not (name in read or name in aside or is_empty(value) or is_metadata(name))
    ]


def reason(names: list[str]) -> str:
    """Why a row with such fields is refused."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"this format does not read {', '.join(names[:SHOWN])}{more}, which would be lost"


@lru_cache(4096)
def is_metadata(name: str) -> bool:
    """Whether a field of this name says where a row comes from."""
    plain = name.lower().replace("-", "_").lstrip("_")
    return plain in METADATA or plain.endswith(ENDINGS) or plain.startswith(INDEX)


def is_empty(value: Any) -> bool:
    """Whether a field holds nothing: null, an empty text, list or object, or an object of nulls."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, list | tuple):
        return not value
    if isinstance(value, dict):
        return all(part is None for part in value.values())
    return value is None


def names_of(schema: type[BaseModel]) -> set[str]:
    """The names of the fields that a schema reads."""
    return set(_fields(schema))


def _lost(value: Any, kinds: tuple[Any, ...], aside: frozenset[str], place: str) -> Iterator[tuple[str, str]]:
    """The fields that none of the types reads, each with the field that it stands in."""
    shape = _shape(kinds)
    if isinstance(value, list):
        for item in value if shape.items else ():
            yield from _lost(item, shape.items, aside, place)
    elif isinstance(value, dict) and shape.objects:
        fields = _read_by(shape.objects)
        for name, part in value.items():
            if name in fields:
                yield from _lost(part, fields[name], aside, name)
            elif not (name in aside or is_empty(part) or is_metadata(name) or _takes_any(shape.objects)):
                yield name, place
    elif isinstance(value, dict):
        for name, part in value.items() if shape.values else ():
            yield from _lost(part, shape.values, aside, name)


@lru_cache(1024)
def _shape(kinds: tuple[Any, ...]) -> Shape:
    """The shape that some types have together."""
    objects = list[type[BaseModel]]()
    items = list[Any]()
    values = list[Any]()
    todo = list(kinds)
    while todo:
        kind = todo.pop(0)
        origin, inner = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            todo += inner
        elif origin is Annotated:
            todo.append(inner[0])
        elif origin is list:
            items += inner
        elif origin is dict:
            values.append(inner[1])
        elif isinstance(kind, type) and issubclass(kind, RootModel):
            todo.append(kind.model_fields["root"].annotation)
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            objects.append(kind)
    return Shape(tuple(objects), tuple(items), tuple(values))


@lru_cache(1024)
def _takes_any(objects: tuple[type[BaseModel], ...]) -> bool:
    return any(kind.model_config.get("extra") == "allow" for kind in objects)


@lru_cache(1024)
def _read_by(objects: tuple[type[BaseModel], ...]) -> dict[str, tuple[Any, ...]]:
    """The types of the fields that these objects read."""
    fields: dict[str, tuple[Any, ...]] = {}
    for kind in objects:
        for name, annotation in _fields(kind).items():
            fields[name] = (*fields.get(name, ()), annotation)
    return fields


def _fields(schema: type[BaseModel]) -> Mapping[str, Any]:
    return {
        name: field.annotation for own, field in schema.model_fields.items() for name in _names(own, field)
    }


def _names(own: str, field: FieldInfo) -> set[str]:
    other = field.validation_alias or own
    return {own, *map(str, other.choices)} if isinstance(other, AliasChoices) else {str(other)}


def _texts(value: Any) -> Iterator[str]:
    """The texts of a field, and of the turns in it."""
    if isinstance(value, str):
        yield value
    for each in value if isinstance(value, list) else [value]:
        yield from (text for text in each.values() if isinstance(text, str)) if isinstance(each, dict) else ()
