"""Rankings whose order is known: the items of the qualification quiz, and gold items (ground truth)."""

from pathlib import Path

from alignloop.data.record_files import read
from alignloop.errors import AlignloopError
from alignloop.labeling.equal_responses import tie_copies
from alignloop.records import Ranking


class KnownRankingsError(AlignloopError):
    """An item of the quiz, or a gold item, cannot be ranked right by anybody."""


class KnownRanking(Ranking):
    """A ranking that is right, with the reason: labelers read it after the quiz."""

    why: str = ""


def read_known(root: Path, file: str) -> list[KnownRanking]:
    """The known rankings of a file of the project. Raises KnownRankingsError with all that are wrong."""
    known = read(root / file, KnownRanking)
    problems = [f"{file}: {each.id}: {problem}" for each in known if (problem := _problem(each))]
    if problems:
        raise KnownRankingsError("\n".join(problems))
    return known


def _problem(known: Ranking) -> str:
    if len(set(known.responses)) == 1:
        return "all responses are equal, so there is nothing to rank; give it other responses"
    if tie_copies(known.ranks, known.responses) != list(known.ranks):
        return f"equal responses have different ranks in {list(known.ranks)}; give them one rank"
    if len(set(known.ranks)) == 1:
        return "all responses share a rank, so no pair has an order; give one of them another rank"
    return ""
