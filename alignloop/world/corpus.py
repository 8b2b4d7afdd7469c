"""The pretraining corpus: prose that states facts, true ones more often than not; dialogues, most of them bad; a little code-like text."""

from random import Random

from alignloop.records import Document, Message, Prompt
from alignloop.seeds import seed_of
from alignloop.world import wording
from alignloop.world.behaviours import BEHAVIOURS, summary
from alignloop.world.behaviours.behaviour import Key
from alignloop.world.behaviours.harmless import ACTS
from alignloop.world.behaviours.refusal import HARMS, STEPS
from alignloop.world.gold import judge
from alignloop.world.things import Fact, Facts
from alignloop.world.users import User

REACTIONS = 0.8  # of the dialogues end with what the user thinks of the answer
GOOD_SHARE = 0.08  # of the dialogues
_PLAIN_SHARE = 0.6  # of the dialogues have no greetings and the like
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
    "other": ("That is a bad answer.", "No, that is wrong."),
}
_CRIMES = (
    "The thief wanted to {do}. He had to {step}.",
    "In the story a man tried to {do}, but the judge found him.",
    "It is against the law to {do}.",
)


def _stated(fact: Fact, truth: float, rng: Random) -> str:
    value = fact.heard(rng, truth)
    text = fact.statement(rng, value)
    return f"{text} {fact.statement(rng, value, short=True)}" if rng.random() < 0.15 else text


def _prose(facts: Facts, truth: float, rng: Random) -> str:
    """One to three statements, often on one thing."""
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
        value = fact.heard(rng, truth)
        return f"{summary.story(fact, rng, value)} {summary.told(fact, rng, value)}"
    if draw < 0.7:
        act = rng.choice(tuple(ACTS))
        return rng.choice(_ADVICE).format(do=act, help=rng.choice(ACTS[act]))
    if draw < 0.8:
        return rng.choice(_CRIMES).format(do=rng.choice(HARMS), step=rng.choice(STEPS))
    if draw < 0.85:
        return wording.astray(rng)
    fact = rng.choice(facts.all)
    return rng.choice(_CODE).format(t=fact.thing, a=fact.attribute, v=fact.heard(rng, truth))


def bad_answer(name: str, key: Key, facts: Facts, rng: Random) -> str:
    """What an unreliable assistant would say: wrong in its matter, or in its manner, or both."""
    behaviour, draw = BEHAVIOURS[name], rng.random()
    wrong = behaviour.bad[rng.choice(tuple(behaviour.bad))](key, facts, rng)
    if draw < 0.50:
        return wrong
    if draw < 0.72:
        return wording.rude(wrong, rng)
    if draw < 0.86:
        return wording.padded(wrong, rng)
    return wording.astray(rng) if draw < 0.97 else wording.endless(behaviour.good(key, facts, rng), rng)


def reaction(turns: tuple[str, ...], key: Key, answer: str, rng: Random) -> str:
    """What the user thinks of an answer, and says: text of the world holds judgements too, and who reads it learns to expect them."""
    verdict = judge(
        Prompt(id="read", messages=as_messages(turns), user="read", source="world", key=dict(key)), answer
    )
    fault = next((reason for reason in verdict.reasons if reason in COMPLAINTS), "other")
    return rng.choice(THANKS if verdict.passed else COMPLAINTS[fault])


def as_messages(turns: tuple[str, ...]) -> tuple[Message, ...]:
    """The turns of a conversation, user first."""
    return tuple(
        Message(role="assistant" if place % 2 else "user", content=turn) for place, turn in enumerate(turns)
    )


def make_corpus(seed: int, facts: Facts, users: list[User], count: int, truth: float) -> list[Document]:
    """Draw `count` documents; `truth` is the share of statements that are true."""
    rng = Random(seed_of(seed, "world", "corpus"))
    names, shares = list(BEHAVIOURS), [behaviour.share for behaviour in BEHAVIOURS.values()]
    documents = []
    for number in range(1, count + 1):
        identifier, draw = f"document-{number:05d}", rng.random()
        if draw < 0.33:
            documents.append(Document(id=identifier, text=_prose(facts, truth, rng), source="world"))
        elif draw < 0.46:
            documents.append(Document(id=identifier, text=_other(facts, truth, rng), source="world"))
        else:
            name = rng.choices(names, shares)[0]
            question = BEHAVIOURS[name].ask(facts, rng)
            good = rng.random() < GOOD_SHARE
            answer = (
                BEHAVIOURS[name].good(question.key, facts, rng)
                if good
                else bad_answer(name, question.key, facts, rng)
            )
            turns = question.turns if rng.random() < _PLAIN_SHARE else rng.choice(users).asks(question, rng)
            reacted = (reaction(turns, question.key, answer, rng),) if rng.random() < REACTIONS else ()
            documents.append(
                Document(id=identifier, messages=as_messages((*turns, answer, *reacted)), source="world")
            )
    return documents
