"""Generates the built-in environment's records from a seed: corpus, prompts and demonstrations."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from alignloop.params.ingest import World as Sizes
from alignloop.records import Demonstration, Document, Message, Prompt
from alignloop.seeds import seed_of
from alignloop.world import wording
from alignloop.world.behaviours import JUDGED, drawn
from alignloop.world.behaviours.behaviour import Key
from alignloop.world.corpus import as_messages, make_corpus
from alignloop.world.things import Facts, make_facts
from alignloop.world.users import User, activity, make_users, make_writers

_WRITERS = 20
_WRITTEN = 0.1  # share of the prompts written by labelers
_START, _SPAN = datetime(2025, 1, 6, 8, tzinfo=UTC), timedelta(days=180)


@dataclass(frozen=True)
class World:
    """The records that ingest takes from the built-in environment."""

    documents: list[Document]
    prompts: list[Prompt]
    demonstrations: list[Demonstration]


def labeler_response(name: str, key: Key, facts: Facts, quality: float, rng: Random) -> str:
    """A response as a labeler writes it.

    It is flawless with probability `quality`; otherwise its content is wrong (70 %) or its style is bad.
    """
    behaviour = JUDGED[name]
    if rng.random() < quality:
        return behaviour.good(key, facts, rng)
    draw = rng.random()
    if draw < 0.70:
        return behaviour.bad[rng.choice(tuple(behaviour.bad))](key, facts, rng)
    return (wording.padded if draw < 0.87 else wording.rude)(behaviour.good(key, facts, rng), rng)


def _prompts(
    facts: Facts, people: tuple[list[User], list[User]], rng: Random, *, count: int, source: str, code: float
) -> list[Prompt]:
    users, writers = people
    weights = activity(len(users))
    moments = sorted(rng.random() for _ in range(count))
    prompts = []
    for number, moment in enumerate(moments, 1):
        user = rng.choice(writers) if rng.random() < _WRITTEN else rng.choices(users, weights)[0]
        behaviour = drawn(rng, code)
        question = behaviour.ask(facts, rng)
        time = (_START + moment * _SPAN).strftime("%Y-%m-%dT%H:%M:%SZ")
        messages = as_messages(user.asks(question, rng))
        prompts.append(
            Prompt(
                id=f"{source}-{number:05d}",
                messages=messages,
                user=user.id,
                category=behaviour.name,
                time=time,
                source="world",
                key=question.key,
            )
        )
    return prompts


def make_world(seed: int, sizes: Sizes) -> World:
    """Generate all records; the same seed and sizes give the same records, another seed other facts."""
    facts = make_facts(seed, sizes.facts)
    users, writers = make_users(seed, sizes.users), make_writers(seed, _WRITERS)
    code = sizes.code
    rng = Random(seed_of(seed, "world", "prompts"))
    prompts = _prompts(facts, (users, writers), rng, count=sizes.prompts, source="prompt", code=code)
    rng = Random(seed_of(seed, "world", "demonstrations"))
    asked = _prompts(
        facts, (users, writers), rng, count=sizes.demonstrations, source="demonstration", code=code
    )
    demonstrations = []
    for prompt in asked:
        text = labeler_response(prompt.category, prompt.key or {}, facts, sizes.demonstration_quality, rng)
        messages = (*prompt.messages, Message(role="assistant", content=text))
        common = prompt.model_dump(exclude={"key", "messages"})
        demonstrations.append(Demonstration(**common, messages=messages, labeler=rng.choice(writers).id))
    return World(make_corpus(seed, facts, users, sizes), prompts, demonstrations)
