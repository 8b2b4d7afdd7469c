"""What people who chat think of versions: the champion beside the one before it, and the candidate beside it.

People count once for each version, by their first thumb, if they talked to the served model by its standard
name: who has chosen a version by name is somebody else. Intervals and evidence hold at every look
(alignloop/core/anytime.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignloop.core.anytime import Counted, evidence_of_rise, share_interval
from alignloop.labeling import alarms, served_opinions
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.served_opinions import Compared
from alignloop.serving.served_version import ServedVersion
from alignloop.tracking import registry

INTERVAL_ERROR = 0.05
TAG = "wins_online"
NOTHING = Counted(0, 0)


@dataclass(frozen=True)
class Estimate:
    """A share with the interval that holds at every look; no share without observations."""

    share: float | None
    low: float
    high: float

    def __str__(self) -> str:
        if self.share is None:
            return "–"
        return f"{self.share:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Rated:
    """A version with all its thumbs, and with those of people (hits are thumbs down)."""

    version: ServedVersion
    thumbs: Counted
    people: Counted

    @property
    def down(self) -> Estimate:
        """The share of people whose thumb is down."""
        return Estimate(self.people.share, *share_interval(self.people, INTERVAL_ERROR))


@dataclass(frozen=True)
class Rise:
    """The champion beside the one before: whether its share of thumbs down is surely higher."""

    champion: Rated
    before: Rated
    evidence: float
    error: float

    @property
    def is_found(self) -> bool:
        """Whether the evidence suffices."""
        return self.evidence >= 1 / self.error

    @property
    def sentence(self) -> str:
        """What was found, and what to do about it."""
        champion, before = self.champion, self.before
        numbers = (
            f"{_people(champion)} rate {champion.version.label} down, {_people(before)} "
            f"{before.version.label}; evidence {self.evidence:.3g}, an alarm from {1 / self.error:g} on"
        )
        if not self.is_found:
            return f"no alarm: {numbers}"
        return (
            f"ALARM: {champion.version.label} gets more thumbs down than the champion before: {numbers} "
            f"(false in at most {self.error:g} of such comparisons, however often one looks). To go back: "
            "python -m alignloop rollback --name YOU --reason WHY"
        )


@dataclass(frozen=True)
class Online:
    """The candidate beside the champion, each served to a share of the people, blind.

    `thumbs` are of people while both were compared, and on the champion `their_thumbs`: hits are down.
    `choices` are between two responses side by side: hits are for the candidate, ties are halves.
    """

    candidate: Rated
    champion: Rated
    thumbs: Counted
    their_thumbs: Counted
    choices: Counted

    @property
    def by_choices(self) -> Estimate:
        """The candidate's win rate where people saw a response of each."""
        return Estimate(self.choices.share, *share_interval(self.choices, INTERVAL_ERROR))

    @property
    def by_thumbs(self) -> Estimate:
        """How often a thumb of the candidate's is better than one of the champion's, equal ones being halves.

        ½ + (share down of the champion − share down of the candidate) / 2; the interval is made of the two
        intervals, each of half the error.
        """
        mine, theirs = self.thumbs, self.their_thumbs
        if mine.share is None or theirs.share is None:
            return Estimate(None, 0.0, 1.0)
        (low, high), (their_low, their_high) = (
            share_interval(each, INTERVAL_ERROR / 2) for each in (mine, theirs)
        )
        ends = [0.5 + (one - other) / 2 for one, other in ((their_low, high), (their_high, low))]
        return Estimate(0.5 + (theirs.share - mine.share) / 2, *ends)

    @property
    def sentence(self) -> str:
        """Both win rates with their intervals; "" if nobody has said anything."""
        parts = []
        if self.choices.total:
            parts.append(f"by choices {self.by_choices} of {_count(self.choices)}")
        if self.by_thumbs.share is not None:
            counts = f"{_count(self.thumbs)} and {_count(self.their_thumbs)}"
            parts.append(f"by thumbs {self.by_thumbs} of {counts}")
        return f"against {self.champion.version.name}: {'; '.join(parts)}" if parts else ""


@dataclass(frozen=True)
class Look:
    """What is known now: each version that was rated or has an alias, and the two comparisons."""

    rated: Sequence[Rated]
    rise: Rise | None
    online: Online | None


def look(database: LabelingDatabase, versions: Sequence[ServedVersion], standard: str, error: float) -> Look:
    """Look at all opinions on versions of the model with the name `standard`.

    `error` is the probability that a champion that is no worse ever raises an alarm.
    """
    with database.reading() as session:
        return _look(session, versions, standard, error)


def _look(session: Any, versions: Sequence[ServedVersion], standard: str, error: float) -> Look:
    thumbs, people = served_opinions.thumbs(session), served_opinions.thumbs_of_people(session, standard)
    model = standard.partition("@")[0].partition("/")[0]
    rated = [
        Rated(each, thumbs.get(each.name, NOTHING), people.get(each.name, NOTHING))
        for each in versions
        if each.model == model
    ]
    by_alias = {alias: each for each in rated for alias in each.version.aliases}
    champion, candidate = by_alias.get("champion"), by_alias.get("candidate")
    rise = online = None
    if champion and (before := by_alias.get("previous")):
        rise = Rise(champion, before, evidence_of_rise(before.people, champion.people), error)
    if champion and candidate and candidate.version.hash != champion.version.hash:
        compared = Compared(candidate.version.name, champion.version.name)
        blind = served_opinions.blind_thumbs_of_people(session, compared)
        mine, theirs = (blind.get(each, NOTHING) for each in (compared.candidate, compared.champion))
        choices = served_opinions.choices_of_people(session, compared)
        online = Online(candidate, champion, mine, theirs, choices=choices)
    return Look([each for each in rated if each.thumbs.total or each.version.aliases], rise, online)


def record(root: Path, database: LabelingDatabase, found: Look) -> bool:
    """Write the candidate's win rates on its version, an alarm into the audit; whether the alarm is new."""
    if found.online and found.online.sentence:
        version = registry.find(root, found.online.candidate.version.name)
        if version.tags.get(TAG) != found.online.sentence:
            registry.annotate(root, version, {TAG: found.online.sentence})
    if not (found.rise and found.rise.is_found):
        return False
    names = found.rise.champion.version.name, found.rise.before.version.name
    return alarms.raise_once(database, *names, evidence=found.rise.evidence, error=found.rise.error)


def _people(rated: Rated) -> str:
    return f"{rated.people.hits:.0f} of {_count(rated.people)} ({rated.down})"


def _count(counted: Counted) -> str:
    return f"{counted.total:,.0f} {'person' if counted.total == 1 else 'people'}"
