"""The rankings of one file in any format that the importers read, without a run: to measure models on.

What cannot be used is counted by reason, as `ingest` counts it.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from alignloop.data.formats import FORMATS
from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.sniffing import sniff
from alignloop.data.input_files import DataError
from alignloop.records import Ranking


@dataclass(frozen=True)
class SourceRankings:
    """A file's rankings, the format it was read as, the rows refused by reason, and its other records."""

    path: Path
    format: str
    rankings: list[Ranking]
    refused: Counter[str]
    others: int

    def summary(self) -> str:
        """What was read, and what was not."""
        parts = [f"{len(self.rankings):,} rankings"]
        parts += [f"{self.others:,} other records"] if self.others else []
        parts += [f"{count:,} refused: {reason}" for reason, count in self.refused.most_common()]
        return f"{self.path}: read as {self.format}: {'; '.join(parts)}"


def source_rankings(path: Path, format: str | None = None) -> SourceRankings:
    """The rankings of a file or saved dataset. Raises DataError where it holds none.

    The format is guessed from the first rows where it is not stated. Formats that take a category from the
    path (HH-RLHF: its folder) take it from the absolute one.
    """
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path}: holds no files; name a file of preferences")
    name = path.resolve().as_posix()
    known = format or sniff(path, name)
    if known not in FORMATS:
        raise DataError(f"{path}: there is no format '{known}'; known are {', '.join(FORMATS)}")
    rankings: list[Ranking] = []
    refused, others = Counter[str](), 0
    for _, item in FORMATS[known].read(path, name):
        record = item.record if isinstance(item, Changed) else item
        if isinstance(record, Refused):
            refused[record.reason] += 1
        elif isinstance(record, Ranking):
            rankings.append(record)
        else:
            others += 1
    found = SourceRankings(path, known, rankings, refused, others)
    if not rankings:
        raise DataError(
            f"{found.summary()}; rankings of two or more responses are needed: name another file, or its "
            "format with --format"
        )
    return found
