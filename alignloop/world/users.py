"""Simulated users: how active each is, and the style in which each writes prompts."""

from dataclasses import dataclass
from random import Random

from alignloop.seeds import seed_of
from alignloop.world.behaviours.behaviour import Question

_GREETINGS = ("Hello.", "Hi!", "Good morning.", "Hey.", "Hello there.", "Excuse me.")
_OPENINGS = (
    "A quick question:",
    "Tell me:",
    "I wonder:",
    "My son asks:",
    "I need this for school:",
    "Please tell me:",
    "Can you help me?",
)
_ENDINGS = (
    "Thanks!",
    "Thank you.",
    "Thanks a lot.",
    "I am curious.",
    "It is for my sister.",
    "Please help.",
    "Bye!",
    "We had a bet about it.",
)
_CONTACTS = (
    "You can write to me at {n}@example.org.",
    "My number is +44 20 7946 0{d}.",
    "Send it to {n}.{d}@example.com, please.",
)
_CONTACT_SHARE = 0.006
_FLATNESS = 30  # the larger, the more equal is the number of prompts per user


@dataclass(frozen=True)
class User:
    """One user's style."""

    id: str
    greets: float  # probability of a greeting
    opens: float  # probability of an opening phrase
    ends: float  # probability of a closing phrase
    favourites: tuple[str, str, str]  # greeting, opening, ending
    small: bool  # writes in lower case
    loose: bool  # leaves out the final punctuation

    def asks(self, question: Question, rng: Random) -> tuple[str, ...]:
        """The question's turns, with the user's own ones in this user's style."""
        turns = list(question.turns)
        parts = (
            self._chosen(self.greets, _GREETINGS, self.favourites[0], rng),
            self._chosen(self.opens, _OPENINGS, self.favourites[1], rng),
            turns[0],
        )
        turns[0] = " ".join(part for part in parts if part)
        ending = self._chosen(self.ends, _ENDINGS, self.favourites[2], rng)
        turns[-1] = f"{turns[-1]} {ending}" if ending else turns[-1]
        turns[::2] = [self._typed(turn) for turn in turns[::2]]
        if rng.random() < _CONTACT_SHARE:
            turns[-1] += " " + rng.choice(_CONTACTS).format(
                n=rng.choice(("anna", "bruno", "greta", "hugo")), d=rng.randint(100, 999)
            )
        return tuple(turns)

    def _chosen(self, often: float, options: tuple[str, ...], favourite: str, rng: Random) -> str:
        if rng.random() >= often:
            return ""
        return favourite if rng.random() < 0.5 else rng.choice(options)

    def _typed(self, text: str) -> str:
        text = text.lower() if self.small else text
        return text.rstrip("?.!") or text if self.loose else text


def _make_user(identifier: str, rng: Random) -> User:
    return User(
        identifier,
        greets=rng.betavariate(1.5, 2.5),
        opens=rng.betavariate(1.5, 3.5),
        ends=rng.betavariate(1.5, 2.5),
        favourites=(rng.choice(_GREETINGS), rng.choice(_OPENINGS), rng.choice(_ENDINGS)),
        small=rng.random() < 0.08,
        loose=rng.random() < 0.15,
    )


def make_users(seed: int, count: int) -> list[User]:
    """The users of one environment, the most active first."""
    rng = Random(seed_of(seed, "world", "users"))
    return [_make_user(f"user-{number:03d}", rng) for number in range(1, count + 1)]


def make_writers(seed: int, count: int) -> list[User]:
    """The labelers who write prompts and demonstrations."""
    rng = Random(seed_of(seed, "world", "writers"))
    return [_make_user(f"labeler-{number:02d}", rng) for number in range(1, count + 1)]


def activity(count: int) -> list[float]:
    """The users' activity by rank: a flattened Zipf distribution, (rank + 30) to the power of -0.7."""
    return [(rank + _FLATNESS) ** -0.7 for rank in range(1, count + 1)]
