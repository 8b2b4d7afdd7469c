"""Precision and recall of the detection of personal data (PII): `python -m benchmarks.redaction`.

The test set is redaction.tsv beside this file: one sentence per line in eleven locales, with personal
values marked as [[KIND|value]], and sentences with numbers that are not personal. The patterns were written
against the first part; the second part, from the line "# by Faker" on, has values of Faker 40 that were
unseen at that time. A match counts only with the right kind and the exact boundaries. "·" is inserted into
keys, which secret scanners would take for real ones.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from alignloop.data.pii.redaction import Span, find_spans

CASES = Path(__file__).with_name("redaction.tsv")
MARKED = re.compile(r"\[\[([A-Z]+)\|(.+?)\]\]")


class Case(NamedTuple):
    """A sentence and its personal data."""

    locale: str
    text: str
    places: frozenset[Span]


class Score(NamedTuple):
    """Correct matches, all matches, and all marked places."""

    right: int
    found: int
    there: int

    @property
    def precision(self) -> float:
        """The share of matches that are correct."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """The share of marked places that were found."""
        return self.right / self.there if self.there else 1.0


def cases() -> Iterator[Case]:
    """The test set."""
    for line in CASES.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        locale, marked = line.replace("·", "").split("\t")
        text, end = "", 0
        here = set[Span]()
        for match in MARKED.finditer(marked):
            text += marked[end : match.start()]
            here.add(Span(len(text), len(text) + len(match[2]), match[1]))
            text, end = text + match[2], match.end()
        yield Case(locale, text + marked[end:], frozenset(here))


def scores() -> dict[str, Score]:
    """The score of each kind, of each locale, and of all."""
    right, found = Counter[str](), Counter[str]()
    there = Counter[str]()
    for case in cases():
        seen = set(find_spans(case.text))
        for counter, group in ((right, seen & case.places), (found, seen), (there, case.places)):
            for place in group:
                counter.update([place.kind, case.locale, "all"])
    names = sorted(found.keys() | there.keys(), key=lambda name: (name == "all", not name.isupper(), name))
    return {name: Score(right[name], found[name], there[name]) for name in names}


def main() -> int:
    """Print the table, or every case with an error."""
    parser = argparse.ArgumentParser("python -m benchmarks.redaction", description=main.__doc__)
    parser.add_argument("--misses", action="store_true", help="print missed places and wrong matches")
    if parser.parse_args().misses:
        for case in cases():
            seen = set(find_spans(case.text))
            for what, wrong in (("missed", case.places - seen), ("none", seen - case.places)):
                for place in sorted(wrong):
                    print(
                        f"{case.locale}  {what}  {place.kind}  {case.text[place.start : place.end]}  in: "
                        f"{case.text}"
                    )
        return 0
    listed = list(cases())
    print(f"{len(listed)} sentences of {len({case.locale for case in listed})} locales\n")
    print("| what | there | found | right | precision | recall |\n|---|---:|---:|---:|---:|---:|")
    for name, score in scores().items():
        print(
            f"| {name} | {score.there} | {score.found} | {score.right} | {score.precision:.3f} | "
            f"{score.recall:.3f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
