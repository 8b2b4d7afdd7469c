"""How a text is cut into passages, and how its words are found, also where a script has no spaces."""

import unicodedata
from collections.abc import Iterator

import regex

WORDS = 120  # of a passage
CHARACTERS = 1000  # of a passage, where its words are long, or nothing separates them
MOST_TERMS = 32  # of a query
# scripts that are written without spaces between words, or, as Korean, with endings that belong to them
RUN = regex.compile(
    r"[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmr}\p{scx=Mymr}&&\w]+",
    regex.V1,
)
WORD = regex.compile(r"\w+")
PARAGRAPHS = regex.compile(r"\n\s*\n")
SENTENCE = regex.compile(r"[。！？｡!?.]")


def plain(text: str) -> str:
    """A text as it is indexed and looked for: composed (NFC), without half surrogate pairs and zeros."""
    return unicodedata.normalize("NFC", text.encode(errors="replace").decode().replace("\0", " "))


def passages_of(text: str, words: int = WORDS, characters: int = CHARACTERS) -> Iterator[str]:
    """A text in pieces of at most so many words and characters, each on one line.

    They are cut between paragraphs where possible, and a word only where it is longer than a passage.
    """
    piece: list[str] = []
    for paragraph in PARAGRAPHS.split(text):
        found = [part for word in paragraph.split() for part in _parts(word, characters)]
        if piece and not _fits(piece + found, words, characters):
            yield " ".join(piece)
            piece = []
        for word in found:
            if piece and not _fits([*piece, word], words, characters):
                yield " ".join(piece)
                piece = []
            piece.append(word)
    if piece:
        yield " ".join(piece)


def _fits(piece: list[str], words: int, characters: int) -> bool:
    return len(piece) <= words and sum(map(len, piece)) + len(piece) - 1 <= characters


def _parts(word: str, characters: int) -> Iterator[str]:
    """A word longer than a passage in parts, each up to the end of a sentence where there is one."""
    while len(word) > characters:
        ends = [match.end() for match in SENTENCE.finditer(word, characters // 2, characters)]
        cut = ends[-1] if ends else characters
        yield word[:cut]
        word = word[cut:]
    yield word


def searchable(text: str) -> str:
    """The text as its words are indexed: a run without spaces is its pairs of neighbouring characters."""
    return RUN.sub(lambda run: f" {' '.join(_pairs(run[0]))} ", text)


def terms(query: str) -> list[str]:
    """What FTS5 looks for, one of which a passage needs: words, and pairs of characters of runs."""
    found: list[str] = []
    for word in WORD.findall(plain(query.lower())):
        end = 0
        for run in RUN.finditer(word):
            found += [word[end : run.start()], *_pairs(run[0])[: len(run[0]) - 1]]
            if len(run[0]) == 1:
                found.append(f"{run[0]}*")  # the first of any pair
            end = run.end()
        found.append(word[end:])
    marked = (f'"{each[:-1]}" *' if each.endswith("*") else f'"{each}"' for each in found if each)
    return list(dict.fromkeys(marked))[:MOST_TERMS]


def _pairs(run: str) -> list[str]:
    """The pairs of a run, and its last character alone, so that each character begins one."""
    return [run[place : place + 2] for place in range(len(run))]
