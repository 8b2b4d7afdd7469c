"""Responses for readers while they are written, where their sources are, and what readers write back.

Readers count citations from 1 (`citations.sourced`); stored responses have the numbers of passages.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from alignloop.retrieval.citations import CITATION, NUMBER, citations, retrieved, sourced
from alignloop.retrieval.index import Passage

CODE = r"```.*?(?:```|\Z)|`[^`\n]*`"  # as in `citations.CITATION`, which passes over it
CLOSED = re.compile(CODE, re.DOTALL)
OPEN = re.compile(r"\[[\d,\s]*\Z")  # the end of a text that may become a citation
# a citation as readers write it, with the white space before it; `?` is a passage that was never shown
PLACE = rf"(?:{NUMBER}|\?)"
WRITTEN = re.compile(rf"{CODE}|(\s?)(?<!\b[^\W\d_])(?<!_)\[({PLACE}(?:\s*,\s*{PLACE})*)\]", re.DOTALL)


class CitationStream:
    """The text of `sourced`, in pieces: no piece ends within a citation, nor in what may become code."""

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self._text = ""
        self._sent = 0  # characters of the text for readers

    def add(self, piece: str) -> str:
        """What is certain after one more piece."""
        self._text += piece
        return self._until(_certain(self._text))

    def finish(self) -> str:
        """The rest."""
        return self._until(len(self._text))

    def _until(self, end: int) -> str:
        shown = sourced(self._text[:end], self._answers).text
        piece, self._sent = shown[self._sent :], len(shown)
        return piece


def _certain(text: str) -> int:
    """How much of a text is read alike whatever follows."""
    end = len(text.rstrip("`"))
    closed = CLOSED.sub(lambda match: " " * len(match[0]), text[:end])
    opening = closed.find("`", closed.rfind("\n") + 1)
    if opening >= 0:
        end = opening
    held = OPEN.search(closed[:end])
    return held.start() if held else end


@dataclass(frozen=True)
class Cited:
    """A citation in a text for readers: where it is, and the place of its source in the list, from 1."""

    start: int
    end: int
    place: int


def cited(text: str, sources: Sequence[Passage]) -> list[Cited]:
    """The citations of a text for readers; one of several sources is there once for each."""
    return [
        Cited(match.start(), match.end(), int(number))
        for match in CITATION.finditer(text)
        for number in (match[1] or "").split(",")
        if number and 1 <= int(number) <= len(sources)
    ]


class UnknownSource(Exception):
    """A reader cites a source that the response does not have; the message is for the reader."""


def written_back(text: str, response: str, answers: Sequence[str]) -> str:
    """A text in which a reader has counted citations as the response was shown, with passages' numbers again.

    `?` goes: nobody was shown such a passage. Raises UnknownSource.
    """
    known = [number for number in citations(response) if number in retrieved(answers)]

    def numbered(match: re.Match[str]) -> str:
        if match[2] is None:
            return match[0]
        places = [int(place) for place in match[2].split(",") if place.strip() != "?"]
        if wrong := [place for place in places if not 1 <= place <= len(known)]:
            there = f"has {len(known)}" if known else "cites none"
            raise UnknownSource(f"[{wrong[0]}] is no source of this response, which {there}.")
        numbers = ", ".join(str(known[place - 1]) for place in places)
        return f"{match[1]}[{numbers}]" if numbers else ""

    return WRITTEN.sub(numbered, text)
