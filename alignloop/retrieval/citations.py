"""Passages as a response is shown them, the citations in what it says, and whether they are true.

A passage has a number, by which it is cited: `The mill was built in 1820 [17].` A quotation is what stands
between quotation marks, three words or more; it must be in the passage that is cited next after it.

A citation is one number from 1 up in brackets, or several with commas. `a[1]`, behind a name of one letter,
is none, nor is anything between backticks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from alignloop.retrieval.index import Passage

if TYPE_CHECKING:  # a tool's process, which imports this, needs no pydantic
    from alignloop.tool_turns import Turns
from alignloop.retrieval.words import plain

SEARCH = "search"  # the name of the tool whose answers are read for passages: no other's
NUMBER = r"[1-9]\d{0,8}"
CITATION = re.compile(
    rf"```.*?(?:```|\Z)|`[^`\n]*`|(?<!\b[^\W\d_])(?<!_)\[({NUMBER}(?:\s*,\s*{NUMBER})*)\]", re.DOTALL
)  # code, which is passed over, or a citation: group 1
QUOTE = re.compile(r'"([^"\n]+)"|“([^”\n]+)”|«([^»\n]+)»')
HEADER = re.compile(r"\[(\d{1,9})\] (.*) \| (.*) \| (.*)")
SHORTEST = 3  # words of a quotation; less is a name or a term
NOTHING = "nothing found"
CUT = "… (cut)"  # at the end of an answer that was longer than one may be
ERROR = "error: "  # at the beginning of an answer to a call that has no result


def shown(passages: Sequence[Passage]) -> str:
    """Found passages as the search answers: two lines each, a header and the text."""
    blocks: list[str] = []
    for each in passages:
        header = " | ".join(_field(part) for part in (each.title, each.document, each.licence))
        blocks.append(f"[{each.number}] {header}\n{each.text}")
    return "\n\n".join(blocks) or NOTHING


def _field(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")


def search_answers(turns: "Turns | None") -> list[str]:
    """What the search has answered in a response; what other tools say, shows no passages."""
    return [turn.text for turn in turns or () if turn.by == "tool" and turn.tool == SEARCH]


def retrieved(answers: Sequence[str]) -> dict[int, Passage]:
    """The passages in a search's answers, by their numbers, each with as much of its text as was shown.

    No text can pose as a header: it has one line. A header whose text was cut off shows no passage.
    """
    found: dict[int, Passage] = {}
    for answer in answers:
        if answer.startswith(ERROR):
            continue
        for block in answer.strip().split("\n\n"):
            header, _, text = block.strip().partition("\n")
            text = text.removesuffix(CUT).rstrip()
            if text and (match := HEADER.fullmatch(header.strip())):
                number, title, document, licence = match.groups()
                found[int(number)] = Passage(int(number), document, title, licence, text)
    return found


@dataclass(frozen=True)
class Checked:
    """The citations of a response, in their order, those of passages that it was never shown, its quotations,
    and those that are not in the passage that they are said to be from.
    """

    cited: list[int]
    made_up: list[int]
    quotes: list[str]
    wrong_quotes: list[str]

    @property
    def citation_score(self) -> float:
        """The share of citations of passages that were shown; 0 where nothing is cited."""
        return 1 - len(self.made_up) / len(self.cited) if self.cited else 0.0

    @property
    def quote_score(self) -> float:
        """The share of quotations that are true; 1 where nothing is quoted."""
        return 1 - len(self.wrong_quotes) / len(self.quotes) if self.quotes else 1.0


def check(response: str, answers: Sequence[str]) -> Checked:
    """Which citations and quotations of a response are true to what the search has answered."""
    passages = retrieved(answers)
    cited = citations(response)
    groups = _groups(response)
    quotes = [
        (match.end(), next(group for group in match.groups() if group is not None))
        for match in QUOTE.finditer(response)
    ]
    quotes = [(end, quote) for end, quote in quotes if len(quote.split()) >= SHORTEST]
    wrong = [quote for end, quote in quotes if not _is_in(quote, _sources_of(groups, end, passages))]
    made_up = [number for number in cited if number not in passages]
    return Checked(cited, made_up, [quote for _, quote in quotes], wrong)


def citations(response: str) -> list[int]:
    """The numbers that a response cites, each once, in the order of their first mention."""
    return list(dict.fromkeys(number for _, numbers in _groups(response) for number in numbers))


def _groups(response: str) -> list[tuple[int, list[int]]]:
    """Where each citation begins, and its numbers."""
    found = [match for match in CITATION.finditer(response) if match[1]]
    return [(match.start(), [int(number) for number in match[1].split(",")]) for match in found]


def _sources_of(
    groups: Sequence[tuple[int, list[int]]], end: int, passages: Mapping[int, Passage]
) -> list[str]:
    """The texts of the passages that are cited next after `end`; of all that were shown where none is."""
    following = next((numbers for place, numbers in groups if place >= end), None)
    if following is None:
        return [each.text for each in passages.values()]
    return [passages[number].text for number in following if number in passages]


def _is_in(quote: str, texts: Sequence[str]) -> bool:
    return any(_plain(quote) in _plain(text) for text in texts)


def _plain(text: str) -> str:
    """A text without what a quotation may change: case, white space, and marks at its end."""
    return " ".join(plain(text).lower().replace("’", "'").split()).strip(" .,;:…")


@dataclass(frozen=True)
class Sourced:
    """A response for readers: its citations counted from 1, and the passages that they stand for.

    A citation of a passage that was never shown is `[?]`.
    """

    text: str
    sources: list[Passage]

    def as_text(self) -> str:
        """The response with its list of sources, as plain text."""
        lines = [
            f"[{place}] {each.title}, {each.document} ({each.licence})"
            for place, each in enumerate(self.sources, 1)
        ]
        return "\n".join([self.text, *(["", "Sources:", *lines] if lines else [])])

    def as_html(self) -> str:
        """The same as escaped HTML: a paragraph, and an ordered list whose items show the passages."""
        items = "".join(
            f"<li><cite>{escape(each.title)}</cite>, {escape(each.document)} ({escape(each.licence)})"
            f"<blockquote>{escape(each.text)}</blockquote></li>"
            for each in self.sources
        )
        listed = f'<ol class="sources">{items}</ol>' if items else ""
        return f"<p>{escape(self.text)}</p>{listed}"


def sourced(response: str, answers: Sequence[str]) -> Sourced:
    """A response and what the search has answered, for readers."""
    passages = retrieved(answers)
    known = [number for number in citations(response) if number in passages]
    places = {number: str(place) for place, number in enumerate(known, 1)}

    def renumbered(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        return f"[{', '.join(places.get(int(number), '?') for number in match[1].split(','))}]"

    return Sourced(CITATION.sub(renumbered, response), [passages[number] for number in known])
