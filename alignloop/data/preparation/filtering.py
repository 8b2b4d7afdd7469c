"""Decides which records `prepare` keeps, from a few bytes per record, while the records wait on disk.

The rules have an order; a dropped record is counted under the first rule that it violates.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np

from alignloop.data.preparation.near_duplicates import NearDuplicates
from alignloop.data.preparation.record_features import SPLITS, RecordFeatures
from alignloop.records import Split


class PromptIndex:
    """Numbers the distinct prompts of all sets, and assigns each to the strictest split in which it occurs.

    Test is stricter than valid, and valid than train. The documents of the corpus have an index of their
    own, in which each document counts as a prompt.
    """

    def __init__(self, near: float | None, beginning: int | None) -> None:
        """Prompts count as one from the similarity `near` on, or with `beginning` first words in common."""
        self._numbers: dict[int, int] = {}
        self._splits = bytearray()
        self._near_duplicates = NearDuplicates(near) if near or beginning else None

    def add(self, features: RecordFeatures) -> list[int]:
        """Add the prompts of the next records with their splits and sketches; returns their numbers."""
        known = len(self._splits)
        numbers = []
        for prompt, split in zip(features.prompts, features.splits, strict=True):
            number = self._numbers.setdefault(prompt, len(self._splits))
            if number == len(self._splits):
                self._splits.append(split)
            self._splits[number] = max(self._splits[number], split)
            numbers.append(number)
        if self._near_duplicates and features.prompt_sketches:
            _, first = np.unique(numbers, return_index=True)
            new = first[np.take(numbers, first) >= known]
            sketched = np.searchsorted(features.sketched, new)
            self._near_duplicates.add(features.prompt_sketches.select(sketched))
        return numbers

    def strictest_splits(self) -> Sequence[int]:
        """For each prompt the strictest split in which exactly this text occurs."""
        return self._splits

    @cached_property
    def near_duplicates(self) -> tuple[Sequence[int], Sequence[int]] | None:
        """For each prompt its group of near-duplicates and that group's split; None if not wanted."""
        if not self._near_duplicates:
            return None
        groups = array("q", self._near_duplicates.groups())
        strictest = bytearray(len(groups))
        for group, split in zip(groups, self._splits, strict=True):
            strictest[group] = max(strictest[group], split)
        return groups, bytes(strictest[group] for group in groups)


class RecordFilter:
    """The features of a set's records, in order, and which of the records are kept."""

    def __init__(self, near: float | None = None) -> None:
        """With `near`, records are compared by prompt and responses; without, by their prompts alone."""
        self.splits, self.is_kept = bytearray(), bytearray()
        self.prompt_numbers = array("Q")
        self._users = array("Q")
        self._contents = array("Q")
        self._judgements = array("Q")
        self._too_long = bytearray()
        self._near_duplicates = NearDuplicates(near) if near else None

    def __len__(self) -> int:
        return len(self.splits)

    def add(self, features: RecordFeatures, prompt_numbers: Sequence[int]) -> None:
        """Add the next records, with the numbers of their prompts."""
        self.prompt_numbers.extend(prompt_numbers)
        self._users.extend(features.users)
        self._contents.extend(features.contents)
        self._judgements.extend(features.judgements)
        self.splits += features.splits
        self._too_long += features.too_long
        if self._near_duplicates and features.record_sketches:
            self._near_duplicates.add(features.record_sketches)

    def apply(self, prompts: PromptIndex, cap: int | None) -> Counter[str]:
        """Decide which records are kept; returns how many each rule dropped.

        `cap` is the number of records that a user keeps. Without one, as in the corpus, equal records are
        all kept.
        """
        numbers, splits = self.prompt_numbers, self.splits
        strictest = prompts.strictest_splits()
        contents, judgements = self._contents, self._judgements
        kept_contents, kept_groups = set[int](), set[tuple[int, int]]()
        kept_of_user = Counter[int]()
        groups: Sequence[int] = ()
        rules: dict[str, Callable[[int], object]] = {}
        if cap is not None:
            rules["too long"] = self._too_long.__getitem__
            rules["in another split"] = lambda record: strictest[numbers[record]] != splits[record]
            rules["repeated"] = lambda record: contents[record] in kept_contents
        if prompts.near_duplicates:
            prompt_groups, group_strictest = prompts.near_duplicates
            groups = self._groups(prompt_groups)
            rules["nearly in another split"] = lambda record: (
                group_strictest[numbers[record]] != splits[record]
            )
            rules["nearly repeated"] = lambda record: (groups[record], judgements[record]) in kept_groups
        if cap is not None:
            rules["over the user's cap"] = lambda record: kept_of_user[self._users[record]] >= cap
        tally = Counter(dict.fromkeys(rules, 0))
        self.is_kept = bytearray(len(self))
        for record in range(len(self)):
            if reason := next((reason for reason, violated in rules.items() if violated(record)), None):
                tally[reason] += 1
                continue
            self.is_kept[record] = True
            kept_contents.add(contents[record])
            kept_of_user[self._users[record]] += 1
            if groups:
                kept_groups.add((groups[record], judgements[record]))
        if cap is not None:
            tally["users"] = len(kept_of_user)
        return tally

    def _groups(self, prompt_groups: Sequence[int]) -> Sequence[int]:
        """For each record its group of near-duplicates."""
        if self._near_duplicates:
            return array("q", self._near_duplicates.groups())
        return array("q", (prompt_groups[number] for number in self.prompt_numbers))

    def in_splits(self, *splits: Split) -> Iterator[bool]:
        """For each record whether it is kept and in one of these splits."""
        wanted = [split in splits for split in SPLITS]
        return (bool(kept) and wanted[split] for kept, split in zip(self.is_kept, self.splits, strict=True))
