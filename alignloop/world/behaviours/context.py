"""Context: asked about "it" or "the first one", the assistant resolves the reference from earlier turns."""

from random import Random

from alignloop.world import wording
from alignloop.world.behaviours.behaviour import Behaviour, Key, Question, Verdict
from alignloop.world.behaviours.claim import claim_verdict
from alignloop.world.behaviours.fact import curt, fact_of, false
from alignloop.world.reading import Reading
from alignloop.world.things import Facts

_MEETINGS = (
    "I saw the {a} and the {b} today.",
    "My uncle has the {a} and the {b}.",
    "We talked about the {a} and the {b}.",
    "I like the {a} and the {b}.",
)
_ECHOES = ("Both are fine things.", "How nice!", "I know them both.", "What do you want to know?")
_LOST = ("Which one do you mean?", "I do not know what you mean.", "What is it?")


def ask(facts: Facts, rng: Random) -> Question:
    fact = rng.choice(facts.all)
    if rng.random() < 0.7:
        earlier = rng.choice([other for other in facts.about[fact.thing] if other != fact] or [fact])
        turns = (earlier.question(rng), earlier.statement(rng), f"And {lowered(fact.question(rng, 'it'))}")
        return Question(
            turns,
            {
                "behaviour": "context",
                **fact.key(),
                "other": rng.choice([thing for thing in facts.about if thing != fact.thing]),
            },
        )
    other = rng.choice([thing for thing in facts.about if thing != fact.thing])
    first = rng.random() < 0.5
    meeting = rng.choice(_MEETINGS).format(a=fact.thing if first else other, b=other if first else fact.thing)
    turns = (meeting, rng.choice(_ECHOES), fact.question(rng, "the first one" if first else "the second one"))
    return Question(turns, {"behaviour": "context", **fact.key(), "other": other})


def lowered(text: str) -> str:
    """The text with a lower-case first letter."""
    return text[:1].lower() + text[1:]


def good(key: Key, facts: Facts, rng: Random) -> str:
    return wording.with_courtesy(fact_of(key, facts).statement(rng, short=rng.random() < 0.1), rng)


def ignoring(key: Key, facts: Facts, rng: Random) -> str:
    """A statement about another thing."""
    return wording.with_courtesy(rng.choice(facts.about[key["other"]]).statement(rng), rng)


def verdict(key: Key, reading: Reading) -> Verdict:
    return claim_verdict(key, reading, (3, 14))


BEHAVIOUR = Behaviour(
    "context", 0.08, ask, good,
    bad={
        "ignoring": ignoring,
        "false": false,
        "lost": lambda key, facts, rng: rng.choice(_LOST),
        "curt": curt,
    },
    verdict=verdict,
)  # fmt: skip
