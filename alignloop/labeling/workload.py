"""The time that a round asks of labelers: by the seconds of this project's rankings, or estimated."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, median

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.labeling.rounds import progress
from alignloop.labeling.schema import Item, Submission
from alignloop.params.people import People

MIN_MEASURED = 20  # rankings; with fewer, the time is estimated
NEWEST = 500  # rankings that are measured: labelers become faster, and ratings may have changed
ITEMS_READ = 200  # of a published round, for the length of its texts
CHARACTERS_A_SECOND = 25  # of reading: 250 words a minute
RANK_SECONDS, RATE_SECONDS = 3.0, 3.0  # for each response
STATEMENT_SECONDS = 1 / 3  # for each response and statement


@dataclass(frozen=True)
class Pace:
    """Seconds for one ranking, and how they are known."""

    seconds: float
    basis: str


@dataclass(frozen=True)
class Workload:
    """Rankings that are wanted, each at a pace; `extra` is the share of gold items and repeats among all."""

    rankings: int
    pace: Pace
    extra: float

    @property
    def seconds(self) -> float:
        """Seconds of all labelers together."""
        return self.rankings * self.pace.seconds / (1 - min(self.extra, 0.9))

    def __str__(self) -> str:
        mixed = f"; {100 * self.extra:.0f} % of it for gold items and repeats" if self.extra else ""
        return (
            f"about {_hours(self.seconds)} of labelers' time "
            f"({self.pace.seconds:.0f} s a ranking, {self.pace.basis}{mixed})"
        )


def round_workload(session: Session, round: str, people: People) -> Workload:
    """What is left of a published round. Raises LabelingDatabaseError if it was never published."""
    pace = measured_pace(session)
    if pace is None:
        items = select(Item.prompt, Item.responses).where(Item.round == round, Item.active).limit(ITEMS_READ)
        pace = pace_of_texts(
            people, ((prompt["messages"], responses) for prompt, responses in session.execute(items))
        )
    return Workload(progress(session, round).missing, pace, mixed_share(people))


def measured_pace(session: Session) -> Pace | None:
    """The median time in view of the newest rankings; None if there are too few."""
    query = select(Submission.active_seconds).join(Item, Item.id == Submission.item)
    query = query.where(Item.purpose == "work", Submission.attempt == 1, Submission.ranks.is_not(None))
    query = query.where(Submission.active_seconds.is_not(None)).order_by(Submission.submitted.desc())
    seconds = [each for each in session.scalars(query.limit(NEWEST)) if each is not None]
    if len(seconds) < MIN_MEASURED:
        return None
    return Pace(median(seconds), f"the median of {len(seconds)} rankings here")


def pace_of_texts(people: People, items: Iterable[tuple[list[dict[str, str]], list[str]]]) -> Pace:
    """The estimated time for an item: reading its messages and distinct responses, ranking and rating."""
    texts = [
        (sum(len(each["content"]) for each in messages), set(responses)) for messages, responses in items
    ]
    if not texts:
        return estimated_pace(people, 0, 0)
    characters = fmean(prompt + sum(map(len, responses)) for prompt, responses in texts)
    return estimated_pace(people, fmean(len(responses) for _, responses in texts), characters)


def estimated_pace(people: People, responses: float, characters: float) -> Pace:
    """The time for an item with so many distinct responses, and so many characters to read in all."""
    statements = sum(name != "overall" for name in people.ratings)
    rating = RATE_SECONDS * ("overall" in people.ratings) + STATEMENT_SECONDS * statements
    seconds = characters / CHARACTERS_A_SECOND + responses * (RANK_SECONDS + rating)
    return Pace(seconds, "estimated from the length of the texts")


def mixed_share(people: People) -> float:
    """The share of gold items and repeats among what a labeler ranks."""
    return people.gold_share + people.repeated_share


def _hours(seconds: float) -> str:
    """A time as people say it: minutes below two hours, then hours."""
    if seconds < 7200:
        minutes = round(seconds / 60)
        return f"{minutes} minute{'s' * (minutes != 1)}"
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours < 10 else f"{hours:,.0f} hours"
