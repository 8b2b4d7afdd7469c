"""A folder of documents, read whole for an index: who is left out, and why, or what stops it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from alignloop.data.forgotten import ForgottenUsers
from alignloop.data.formats.sources import checked_licence
from alignloop.retrieval.documents import Document, Refused, read_folder
from alignloop.retrieval.index import IndexProblem


@dataclass(frozen=True)
class Collected:
    """The documents of a folder, and those that are left out."""

    documents: list[Document]
    refused: list[Refused]

    @property
    def reasons(self) -> Counter[str]:
        """How many are left out for each reason."""
        return Counter(each.reason for each in self.refused)

    @property
    def licences(self) -> Counter[str]:
        """How many documents are under each licence."""
        return Counter(each.licence for each in self.documents)

    @property
    def told(self) -> str:
        """The reasons in words; empty where nothing is left out."""
        return ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.reasons.items()))


def collect(folder: Path, licence: str, forgotten: Path, place: str) -> Collected:
    """Read a folder's documents. `place` is where the licence is stated. Raises IndexProblem, DataError."""
    checked = checked_licence(place, licence)
    if not folder.is_dir():
        raise IndexProblem(f"{folder}: is no folder; name the one with the documents")
    users = ForgottenUsers(forgotten) if forgotten.is_file() else None
    found = list(read_folder(folder, checked, users))
    return Collected(
        [each for each in found if isinstance(each, Document)],
        [each for each in found if isinstance(each, Refused)],
    )


def check_refused(found: Collected, folder: Path, most: int, setting: str, out: Path) -> None:
    """Raise IndexProblem where more than `most` cannot be read; those of forgotten users do not count."""
    unwanted = sum(count for reason, count in found.reasons.items() if reason != "forgotten")
    if unwanted > most:
        first = next(each for each in found.refused if each.reason != "forgotten")
        raise IndexProblem(
            f"{folder}: {unwanted:,} documents cannot be read ({found.told}), "
            f"at most {most:,} may be left out ({setting}); mend them, first {first.place}: {first.message}. "
            f"{out} is as it was"
        )
