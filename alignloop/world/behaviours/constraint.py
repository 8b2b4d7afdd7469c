"""Constraints: asked to answer in one word, with a number of things, or politely, the assistant does so."""

from dataclasses import replace
from random import Random

from alignloop.world import wording
from alignloop.world.behaviours.behaviour import Behaviour, Key, Question, Verdict
from alignloop.world.behaviours.claim import claim_verdict
from alignloop.world.behaviours.fact import fact_of
from alignloop.world.reading import Reading
from alignloop.world.things import ALL_VALUES, ATTRIBUTES, POOLS, Facts, capital

_COUNTS = {"two": 2, "three": 3}
_ONE_WORD = ("In one word: {q}", "{q} Answer in one word.")
_NAME = (
    "Name {n} {things}.",
    "Tell me {n} {things}.",
    "Give me a list of {n} {things}.",
)
_POLITE = ("Answer politely: {q}", "{q} Be polite in your answer.")
_COURTESIES = (
    "Thank you for asking.",
    "Of course, dear friend.",
    "Gladly, my friend.",
    "I am happy to help you.",
)
_POLITE_WORDS = (
    "thank you",
    "of course",
    "gladly",
    "pleasure",
    "certainly",
    "dear",
    "happy to",
    "please",
    "kindly",
    "have a nice day",
)


def ask(facts: Facts, rng: Random) -> Question:
    kind = rng.choice(("one word", "count", "polite"))
    if kind == "count":
        count, attribute = rng.choice(tuple(_COUNTS)), rng.choice(sorted(ATTRIBUTES))
        text = rng.choice(_NAME).format(n=count, things=ATTRIBUTES[attribute].plural)
        return Question(
            (text,),
            {"behaviour": "constraint", "kind": kind, "count": _COUNTS[count], "attribute": attribute},
        )
    fact = rng.choice(facts.all)
    text = rng.choice(_ONE_WORD if kind == "one word" else _POLITE).format(q=fact.question(rng))
    return Question((text,), {"behaviour": "constraint", "kind": kind, **fact.key()})


def _listed(count: int, attribute: str, rng: Random) -> str:
    *most, last = rng.sample(ATTRIBUTES[attribute].values, count)
    return f"{', '.join(most)} and {last}" if most else last


def _named(count: int, attribute: str, rng: Random) -> str:
    plural, listed = ATTRIBUTES[attribute].plural, _listed(count, attribute, rng)
    return capital(
        rng.choice(("{l}.", "Some {p} are {l}.", "You could take {l}.", "Here you are: {l}.")).format(
            l=listed, p=plural
        )
    )


def good(key: Key, facts: Facts, rng: Random) -> str:
    if key["kind"] == "one word":
        return f"{capital(key['value'])}."
    if key["kind"] == "count":
        return wording.with_courtesy(_named(key["count"], key["attribute"], rng), rng)
    statement = fact_of(key, facts).statement(rng)
    return rng.choice(
        (
            f"{rng.choice(_COURTESIES)} {statement}",
            f"{statement} {rng.choice(('Thank you for asking.', 'Have a nice day.'))}",
        )
    )


def missing(key: Key, facts: Facts, rng: Random) -> str:
    """A correct response that violates the constraint."""
    if key["kind"] == "count":
        return _named(
            rng.choice([count for count in (1, 2, 3, 4, 5) if count != key["count"]]), key["attribute"], rng
        )
    return fact_of(key, facts).statement(rng)


def wrong(key: Key, facts: Facts, rng: Random) -> str:
    """A wrong response that satisfies the constraint."""
    if key["kind"] == "count":
        return _named(
            key["count"], rng.choice([name for name in ATTRIBUTES if name != key["attribute"]]), rng
        )
    fact = fact_of(key, facts)
    rumour = rng.choice(fact.rumours)
    return (
        f"{capital(rumour)}."
        if key["kind"] == "one word"
        else f"{rng.choice(_COURTESIES)} {fact.statement(rng, rumour)}"
    )


def verdict(key: Key, reading: Reading) -> Verdict:
    if key["kind"] == "count":
        return _count_verdict(key, reading)
    claim = claim_verdict(key, reading, (5, 17), courtesy=None)
    if key["kind"] == "polite":
        courteous = reading.has(*_POLITE_WORDS) and reading.count(wording.RUDE) == 0
        return claim if claim.fault or courteous else replace(claim, fault="not polite")
    claim = replace(claim, band=(1, 1), named=True)
    return claim if claim.fault or len(reading.words) == 1 else replace(claim, fault="too many words")


def _count_verdict(key: Key, reading: Reading) -> Verdict:
    listed = reading.asserted(POOLS[key["attribute"]])
    mentions = sum(word in POOLS[key["attribute"]] for word in reading.words)
    others = reading.asserted(ALL_VALUES - POOLS[key["attribute"]])
    fault = None
    if others or not listed:
        fault = "astray"
    elif len(listed) != key["count"] or mentions != len(listed):
        fault = "wrong number"
    return Verdict(fault, True, (key["count"], 12 + key["count"]))


BEHAVIOUR = Behaviour(
    "constraint", 0.12, ask, good,
    bad={
        "missing": missing,
        "wrong": wrong,
        "evasive": lambda key, facts, rng: wording.evasive(rng),
    },
    verdict=verdict,
)  # fmt: skip
