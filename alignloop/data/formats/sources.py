"""Lists the sources in a folder: each file or saved dataset, with its format, licence and hash."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from alignloop.data.formats import FORMATS
from alignloop.data.formats.arrow import is_dataset
from alignloop.data.formats.column_mapping import mapped_table
from alignloop.data.formats.importer import Format
from alignloop.data.formats.own_records import first_terms
from alignloop.data.formats.sniffing import sniff
from alignloop.data.input_files import DataError, check_folder

SKIP, UNKNOWN = "skip", "unknown-accepted"
DEMONSTRATION_ROW = '{"prompt": "…", "completion": "…"}'  # the simplest rows that are understood
PREFERENCE_ROW = '{"prompt": "…", "chosen": "…", "rejected": "…"}'
ASIDE = ("README", "LICENSE")  # prefixes, in any case, of the names of files that are not data


class NoSources(DataError):
    """The folder of sources holds no data."""


@dataclass(frozen=True)
class Source:
    """One source: `name` is its path below the folder, `format` the name of the format `reader`."""

    name: str
    path: Path
    format: str
    reader: Format
    licence: str
    domain: str | None = None  # of its documents

    @cached_property
    def sha256(self) -> str:
        """The hash of its bytes; of a folder, of all its files."""
        return _sha256(self.path)


def find_sources(
    folder: Path,
    formats: Mapping[str, str],
    mappings: Mapping[str, Mapping[str, str | list[str]]],
    licences: Mapping[str, str],
    domains: Mapping[str, str],
) -> list[Source]:
    """The sources by name, each in the format of the first matching pattern, or else in the guessed one.

    Raises DataError for a source without a licence or a known format, and for a pattern that matches no
    source.
    """
    check_folder(folder)
    names = list(_names(folder))
    for pattern, format in formats.items():
        if format not in (*FORMATS, SKIP):
            raise DataError(
                f"ingest.formats: {pattern}: there is no format '{format}'; "
                f"known are {', '.join(FORMATS)} and {SKIP}"
            )
    keys = {"formats": formats, "columns": mappings, "licences": licences, "domains": domains}
    for key, pattern in ((key, pattern) for key, patterns in keys.items() for pattern in patterns):
        matching = any(_matches(name, pattern) for name in names)
        if not matching and not (key == "licences" and pattern == "*"):
            raise DataError(
                f"ingest.{key}: no file in {folder} is called {pattern}; correct the pattern or remove it"
            )
    spdx = {
        pattern: checked_licence(f"ingest.licences: {pattern}", licence)
        for pattern, licence in licences.items()
    }
    found, unlicensed = [], []
    faults = list[str]()
    for name in names:
        stated = _first(name, formats)
        mapped = next((pattern for pattern in mappings if _matches(name, pattern)), None)
        hidden = any(part.startswith(".") for part in Path(name).parts)
        ignored = hidden or Path(name).name.upper().startswith(ASIDE)
        if stated == SKIP or (ignored and not (stated or mapped)):
            continue
        path = folder / name
        if stated and mapped:
            raise DataError(
                f"{path}: has a format in ingest.formats and a mapping in ingest.columns; remove one of them"
            )
        try:
            format = "columns" if mapped else stated or sniff(path, name)
        except DataError as error:
            faults.append(str(error))
            continue
        reader = mapped_table(mapped, mappings[mapped]) if mapped else FORMATS[format]
        licence = _licence(name, spdx)
        if format == "own" and (terms := first_terms(path)):
            if licence not in (None, UNKNOWN, terms):
                faults.append(
                    f"{path}: a teacher wrote it, under {terms}, but ingest.licences states {licence}; "
                    f'write "{name}": {terms} '
                    "before that pattern, or let "
                    "`distill` write the file with other `terms`"
                )
            licence = terms
        unlicensed += [] if licence else [name]
        domain = _first(name, domains)
        found.append(Source(name, path, format, reader, licence=licence or UNKNOWN, domain=domain))
    if faults:
        raise DataError("\n".join(faults))
    if not found:
        ignored = f"hidden files, {'* and '.join(ASIDE)}* do not count"
        raise NoSources(
            f"{folder}: holds no data ({ignored}); "
            "put files there, or set ingest.source: world in params.yaml"
        )
    if unlicensed:
        raise DataError("\n".join(f"{folder / name}: {_unlicensed(name)}" for name in unlicensed))
    return found


def _names(folder: Path) -> Iterator[str]:
    """The names of all files below the folder; a saved dataset stands for its files."""
    saved = [path for path in sorted(folder.rglob("*")) if path.is_dir() and is_dataset(path)]
    # the splits of a dataset are datasets too
    saved = [path for path in saved if not set(saved) & set(path.parents)]
    files = [path for path in folder.rglob("*") if path.is_file() and not set(saved) & set(path.parents)]
    return iter(sorted(path.relative_to(folder).as_posix() for path in (*saved, *files)))


def _first(name: str, values: Mapping[str, str]) -> str | None:
    """The value of the first pattern that matches."""
    return next((value for pattern, value in values.items() if _matches(name, pattern)), None)


def _matches(name: str, pattern: str) -> bool:
    names = (name, Path(name).name)
    # a name with brackets is a pattern that does not match itself
    return pattern in names or any(fnmatch(each, pattern) for each in names)


def _licence(name: str, licences: Mapping[str, str]) -> str | None:
    """The first matching licence; `unknown-accepted` counts only where no other matches."""
    matching: Sequence[str] = [licence for pattern, licence in licences.items() if _matches(name, pattern)]
    return next((licence for licence in matching if licence != UNKNOWN), matching[0] if matching else None)


def checked_licence(place: str, licence: str) -> str:
    """The licence in SPDX's canonical spelling, as it is stated at `place`. Raises DataError."""
    try:
        return licence if licence == UNKNOWN else canonicalize_license_expression(licence)
    except InvalidLicenseExpression:
        remedy = f"write one (https://spdx.org/licenses), LicenseRef-NAME where SPDX has none, or {UNKNOWN}"
        raise DataError(f"{place}: '{licence}' is not an SPDX expression; {remedy}") from None


def _unlicensed(name: str) -> str:
    example = f"""ingest.licences: {{"{name}": MIT}}"""
    return (
        f"no licence is stated; write its SPDX expression in params.yaml, {example}, "
        f"or {UNKNOWN} to accept it without one"
    )


def _sha256(path: Path) -> str:
    if path.is_dir():
        parts = (
            f"{file.relative_to(path).as_posix()} {_sha256(file)}\n"
            for file in sorted(path.rglob("*"))
            if file.is_file()
        )
        return hashlib.sha256("".join(parts).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
