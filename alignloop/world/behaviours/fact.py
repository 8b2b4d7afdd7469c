"""Facts: asked for a fact, the assistant states it in a sentence."""

from random import Random

from alignloop.world import wording
from alignloop.world.behaviours.behaviour import Behaviour, Key, Question, Verdict
from alignloop.world.behaviours.claim import claim_verdict
from alignloop.world.reading import Reading
from alignloop.world.things import ATTRIBUTES, Fact, Facts, capital


def fact_of(key: Key, facts: Facts) -> Fact:
    """The fact that a key asks for."""
    return facts.find(key["subject"], key["attribute"])


def ask(facts: Facts, rng: Random) -> Question:
    fact = rng.choice(facts.all)
    return Question((fact.question(rng),), {"behaviour": "fact", **fact.key()})


def good(key: Key, facts: Facts, rng: Random) -> str:
    return wording.with_courtesy(fact_of(key, facts).statement(rng, short=rng.random() < 0.25), rng)


def false(key: Key, facts: Facts, rng: Random) -> str:
    """A false value, stated in the form of a good response."""
    fact = fact_of(key, facts)
    return wording.with_courtesy(
        fact.statement(rng, rng.choice(fact.rumours), short=rng.random() < 0.25), rng
    )


def contradictory(key: Key, facts: Facts, rng: Random) -> str:
    fact = fact_of(key, facts)
    return f"{fact.statement(rng)} {fact.statement(rng, rng.choice(fact.rumours), short=True)}"


def listing(key: Key, facts: Facts, rng: Random) -> str:
    return (
        f"{', '.join(ATTRIBUTES[key['attribute']].values[:-1])} or {ATTRIBUTES[key['attribute']].values[-1]}."
    )


def curt(key: Key, facts: Facts, rng: Random) -> str:
    return rng.choice((key["value"], f"{capital(key['value'])}.", f"{key['value'].lower()}, ok"))


def verdict(key: Key, reading: Reading) -> Verdict:
    return claim_verdict(key, reading, (3, 14))


def not_known(key: Key, facts: Facts, rng: Random) -> str:
    return rng.choice(
        (
            "I do not know.",
            f"I do not know the {key['subject']}.",
            f"I have never heard of the {key['subject']}.",
        )
    )


BEHAVIOUR = Behaviour(
    "fact", 0.24, ask, good,
    bad={
        "false": false,
        "contradictory": contradictory,
        "listing": listing,
        "not known": not_known,
        "evasive": lambda key, facts, rng: wording.evasive(rng),
        "curt": curt,
    },
    verdict=verdict,
)  # fmt: skip
