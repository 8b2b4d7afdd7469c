"""What `prepare` knows of a set's records, some bytes each, while the records wait on disk; and which of them stay.

The rules have an order, and a record that goes is counted by the first that it breaks.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np

from alignloop.data.preparation.near_duplicates import Alike
from alignloop.data.preparation.record_features import SPLITS, Facts
from alignloop.records import Split


class Questions:
    """What was asked, over all sets: a number for each, and the cleanest split that it was asked in, or one like it."""

    def __init__(self, near: float | None, beginning: int | None) -> None:
        self._numbers: dict[int, int] = {}
        self._splits = bytearray()
        self._alike = Alike(near) if near or beginning else None

    def add(self, facts: Facts) -> list[int]:
        """Take the next questions, the splits they were asked in, and how those not met before are compared; returns the number of each."""
        known, numbers = len(self._splits), []
        for question, split in zip(facts.questions, facts.splits, strict=True):
            number = self._numbers.setdefault(question, len(self._splits))
            if number == len(self._splits):
                self._splits.append(split)
            self._splits[number] = max(self._splits[number], split)
            numbers.append(number)
        if self._alike and facts.asked:
            _, first = np.unique(numbers, return_index=True)
            self._alike.add(
                facts.asked.of(np.searchsorted(facts.places, first[np.take(numbers, first) >= known]))
            )
        return numbers

    def cleanest(self) -> Sequence[int]:
        """For each question the cleanest split that it was asked in, in these words."""
        return self._splits

    @cached_property
    def likeness(self) -> tuple[Sequence[int], Sequence[int]] | None:
        """For each question its group of those that are alike, and the cleanest split of that; None where likeness does not count."""
        if not self._alike:
            return None
        groups = array("q", self._alike.groups())
        cleanest = bytearray(len(groups))
        for group, split in zip(groups, self._splits, strict=True):
            cleanest[group] = max(cleanest[group], split)
        return groups, bytes(cleanest[group] for group in groups)


class Entries:
    """The records of a set, in their order."""

    def __init__(self, near: float | None = None) -> None:
        """With `near`, records are alike if question and answers are so much alike together; without it, if their questions are."""
        self.splits, self.kept = bytearray(), bytearray()
        self.asked, self._users, self._content, self._judged = (array("Q") for _ in range(4))
        self._long = bytearray()
        self._wholes = Alike(near) if near else None

    def __len__(self) -> int:
        return len(self.splits)

    def add(self, facts: Facts, asked: Sequence[int]) -> None:
        """Take the next records, and the numbers of their questions."""
        self.asked.extend(asked)
        self._users.extend(facts.users)
        self._content.extend(facts.content)
        self._judged.extend(facts.judged)
        self.splits += facts.splits
        self._long += facts.long
        if self._wholes and facts.wholes:
            self._wholes.add(facts.wholes)

    def sift(self, questions: Questions, cap: int | None) -> Counter[str]:
        """Decide which records stay; how many went by each rule. Without a cap equal records stay too, however many there are."""
        asked, splits, content, judged, cleanest = (
            self.asked,
            self.splits,
            self._content,
            self._judged,
            questions.cleanest(),
        )
        seen, like, wrote = set[int](), set[tuple[int, int]](), Counter[int]()
        rules: dict[str, Callable[[int], object]] = {}
        if cap is not None:
            rules["too long"] = self._long.__getitem__
            rules["in another split"] = lambda place: cleanest[asked[place]] != splits[place]
            rules["repeated"] = lambda place: content[place] in seen
        alike: Sequence[int] = ()
        if questions.likeness:
            groups, cleanest_like = questions.likeness
            rules["nearly in another split"] = lambda place: cleanest_like[asked[place]] != splits[place]
            alike = (
                array("q", self._wholes.groups())
                if self._wholes
                else array("q", (groups[question] for question in asked))
            )
            rules["nearly repeated"] = lambda place: (alike[place], judged[place]) in like
        if cap is not None:
            rules["over the user's cap"] = lambda place: wrote[self._users[place]] >= cap
        tally = Counter(dict.fromkeys(rules, 0))
        self.kept = bytearray(len(self))
        for place in range(len(self)):
            if reason := next((reason for reason, holds in rules.items() if holds(place)), None):
                tally[reason] += 1
                continue
            self.kept[place] = True
            seen.add(content[place])
            wrote[self._users[place]] += 1
            if alike:
                like.add((alike[place], judged[place]))
        if cap is not None:
            tally["users"] = len(wrote)
        return tally

    def of(self, *splits: Split) -> Iterator[bool]:
        """For each record whether it stays and is in one of these splits."""
        wanted = [split in splits for split in SPLITS]
        return (bool(stays) and wanted[split] for stays, split in zip(self.kept, self.splits, strict=True))
