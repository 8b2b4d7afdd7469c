"""The pretraining corpus: prose that states facts, dialogues, and a little code-like text.

Most statements are true, and most responses in dialogues are bad. Most dialogues end with the user's
reaction, from which a model can learn which responses users like.
"""

from random import Random
from typing import Any

from alignloop.params.ingest import World as Sizes
from alignloop.records import Document, Message, Prompt
from alignloop.seeds import seed_of
from alignloop.world import wording
from alignloop.world.behaviours import JUDGED, code, drawn, summary
from alignloop.world.behaviours.behaviour import Key
from alignloop.world.behaviours.harmless import ACTS
from alignloop.world.behaviours.refusal import HARMS, STEPS
from alignloop.world.gold import judge
from alignloop.world.things import Fact, Facts
from alignloop.world.users import User

REACTIONS = 0.8  # share of the dialogues that end with the user's reaction
GOOD_SHARE = 0.08  # share of the dialogues with a good response
_PLAIN_SHARE = 0.6  # share of the dialogues without greetings and the like
_FRAMES = (
    "{s}",
    "{s}",
    "{s}",
    "{s}",
    "Everyone says so: {s}",
    "In the old book it is written: {s}",
    "My uncle told me: {s}",
    "I learned this at school: {s}",
)
_CODE = (
    '{t}.{a} = "{v}"',
    'def {a}({t}):\n    return "{v}"',
    '{{"{t}": {{"{a}": "{v}"}}}}',
    'if {t}.{a} == "{v}":\n    print("{t}")',
    'assert {a}("{t}") == "{v}"',
)
_ADVICE = ("To {do}, {help}.", "If you want to {do}, {help}.", "You can {help}.")
THANKS = ("Thank you, that helps.", "Perfect, thanks.", "That is right.", "Great answer.")
COMPLAINTS = {
    **dict.fromkeys(("false", "contradictory", "adds"), ("That is not true.", "That is false.")),
    **dict.fromkeys(
        ("astray", "off-topic", "garbled"), ("I asked something else.", "That is not what I asked.")
    ),
    **dict.fromkeys(
        ("evasive", "accepting", "leaves out", "admits nothing"),
        ("That is no answer.", "You did not answer."),
    ),
    **dict.fromkeys(("made up",), ("You made that up.", "Nobody can know that.")),
    **dict.fromkeys(("curt", "unfinished"), ("That is too short.", "Say more.")),
    **dict.fromkeys(
        ("padded", "repetitive", "repeated", "endless", "copies", "too many words"),
        ("That is too long.", "Say less."),
    ),
    **dict.fromkeys(("rude", "not polite"), ("How rude!", "Be polite.")),
    **dict.fromkeys(("harmful",), ("That is dangerous.",)),
    **dict.fromkeys(("does not run", "wrong result"), ("That code does not work.",)),
    "other": ("That is a bad answer.", "No, that is wrong."),
}
_CRIMES = (
    "The thief wanted to {do}. He had to {step}.",
    "In the story a man tried to {do}, but the judge found him.",
    "It is against the law to {do}.",
)


def _stated(fact: Fact, truth: float, rng: Random) -> str:
    value = fact.truth_or_rumour(rng, truth)
    text = fact.statement(rng, value)
    return f"{text} {fact.statement(rng, value, short=True)}" if rng.random() < 0.15 else text


def _prose(facts: Facts, truth: float, rng: Random) -> str:
    """One to three statements, often about the same thing."""
    fact, draw = rng.choice(facts.all), rng.random()
    if draw < 0.45:
        return rng.choice(_FRAMES).format(s=_stated(fact, truth, rng))
    if draw < 0.9:
        about = list(facts.about[fact.thing])
        rng.shuffle(about)
        return " ".join(_stated(other, truth, rng) for other in about[:3])
    return f"{fact.question(rng)} {_stated(fact, truth, rng)}"


def _other(facts: Facts, truth: float, rng: Random) -> str:
    """Stories, advice, crimes, small talk, and code-like text."""
    draw = rng.random()
    if draw < 0.5:
        fact = rng.choice(facts.all)
        value = fact.truth_or_rumour(rng, truth)
        return f"{summary.story(fact, rng, value)} {summary.summarise(fact, rng, value)}"
    if draw < 0.7:
        act = rng.choice(tuple(ACTS))
        return rng.choice(_ADVICE).format(do=act, help=rng.choice(ACTS[act]))
    if draw < 0.8:
        return rng.choice(_CRIMES).format(do=rng.choice(HARMS), step=rng.choice(STEPS))
    if draw < 0.85:
        return wording.small_talk(rng)
    fact = rng.choice(facts.all)
    return rng.choice(_CODE).format(t=fact.thing, a=fact.attribute, v=fact.truth_or_rumour(rng, truth))


def bad_response(name: str, key: Key, facts: Facts, rng: Random) -> str:
    """A response of an unreliable assistant, with wrong content, bad style, or both."""
    behaviour, draw = JUDGED[name], rng.random()
    wrong = behaviour.bad[rng.choice(tuple(behaviour.bad))](key, facts, rng)
    if draw < 0.50:
        return wrong
    if draw < 0.72:
        return wording.rude(wrong, rng)
    if draw < 0.86:
        return wording.padded(wrong, rng)
    return wording.small_talk(rng) if draw < 0.97 else wording.endless(behaviour.good(key, facts, rng), rng)


def reaction(turns: tuple[str, ...], key: Key, response: str, rng: Random) -> str:
    """The user's reaction to a response: thanks, or a complaint about its first fault."""
    verdict = judge(
        Prompt(id="read", messages=as_messages(turns), user="read", source="world", key=dict(key)), response
    )
    fault = next((reason for reason in verdict.reasons if reason in COMPLAINTS), "other")
    return rng.choice(THANKS if verdict.passed else COMPLAINTS[fault])


def as_messages(turns: tuple[str, ...]) -> tuple[Message, ...]:
    """The turns of a dialogue, user first, as messages."""
    return tuple(
        Message(role="assistant" if place % 2 else "user", content=turn) for place, turn in enumerate(turns)
    )


def make_corpus(seed: int, facts: Facts, users: list[User], sizes: Sizes) -> list[Document]:
    """Generate `sizes.documents` documents. They state their domain where some of them are code."""
    rng = Random(seed_of(seed, "world", "corpus"))
    documents = []
    for number in range(1, sizes.documents + 1):
        content = _content(facts, users, sizes, rng)
        if not sizes.code:
            content.pop("domain")
        documents.append(Document(id=f"document-{number:05d}", source="world", **content))
    return documents


def _content(facts: Facts, users: list[User], sizes: Sizes, rng: Random) -> dict[str, Any]:
    """The fields of a document that hold its text or its messages, and its domain."""
    if sizes.code and rng.random() < sizes.code:
        return {"text": code.text(rng), "domain": "code"}
    draw = rng.random()
    if draw < 0.46:
        text = (_prose if draw < 0.33 else _other)(facts, sizes.truth, rng)
        return {"text": text, "domain": "text"}
    behaviour = drawn(rng, sizes.code)
    question = behaviour.ask(facts, rng)
    good = rng.random() < GOOD_SHARE
    response = (
        behaviour.good(question.key, facts, rng)
        if good
        else bad_response(behaviour.name, question.key, facts, rng)
    )
    turns = question.turns if rng.random() < _PLAIN_SHARE else rng.choice(users).asks(question, rng)
    reacted = (reaction(turns, question.key, response, rng),) if rng.random() < REACTIONS else ()
    return {"messages": as_messages((*turns, response, *reacted)), "domain": "dialogue"}
