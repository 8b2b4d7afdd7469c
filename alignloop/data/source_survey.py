"""What kinds of records the sources hold, from their first rows: a run can say early what is missing."""

from itertools import islice
from pathlib import Path
from typing import NamedTuple

from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.sources import NoSources, Source, find_sources
from alignloop.data.input_files import DataError
from alignloop.params.ingest import Ingest
from alignloop.records import RAW_SETS

LOOKED_AT = 1_000  # records of a source: what it holds is seen in them, in a fraction of a second


class Survey(NamedTuple):
    """The kinds of records that the sources hold, and the sources with their formats.

    It is uncertain where the first records of a long source are all refused.
    """

    kinds: frozenset[str]
    sources: tuple[str, ...] = ()
    is_certain: bool = True


BUILT_IN = Survey(frozenset({"documents", "prompts", "demonstrations"}), ("the built-in environment",))


def survey(plan: Ingest, folder: Path) -> Survey:
    """Look at the first records of every source. Raises DataError, which names each source with a fault."""
    built_in = BUILT_IN if plan.makes_world else Survey(frozenset())
    if not plan.reads_files:
        return built_in
    try:
        sources = find_sources(folder, plan.formats, plan.columns, plan.licences, plan.domains)
    except NoSources:
        return built_in
    kinds, faults = set(built_in.kinds), list[str]()
    is_certain = True
    for source in sources:
        try:
            seen, is_whole = _look_at(source)
        except DataError as error:
            faults.append(str(error))
            continue
        kinds |= seen
        is_certain &= is_whole or bool(seen)
    if faults:
        raise DataError("\n".join(faults))
    names = (*built_in.sources, *(f"{each.name} ({each.format})" for each in sources))
    return Survey(frozenset(kinds), names, is_certain)


def _look_at(source: Source) -> tuple[set[str], bool]:
    """The kinds of a source's first records, and whether these are all."""
    seen = set[str]()
    rows = iter(source.reader.read(source.path, source.name))
    for _, item in islice(rows, LOOKED_AT):
        record = item.record if isinstance(item, Changed) else item
        if not isinstance(record, Refused):
            seen.add(RAW_SETS[type(record)])
    if seen & {"demonstrations", "rankings"}:
        seen.add("prompts")
    return seen, next(rows, None) is None
