"""The built-in environment's documented facts as records: documents to search, prompts, and who shows how.

Demonstrations ask about half of the things and prompts about the others, so the facts that prompts ask for
are in no text that a model learns from. Dialogues for the corpus are about facts of their own, drawn anew for
each: a base learns from them how a search is written and read, as one does from the texts of the web.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from alignloop.params.ingest import DocumentedFacts
from alignloop.records import Demonstration, Document, Message, Prompt
from alignloop.retrieval import documents, index
from alignloop.retrieval.citations import retrieved, shown
from alignloop.seeds import seed_of
from alignloop.tool_turns import ToolCall
from alignloop.tools.call_form import CallForm
from alignloop.tools.offer import with_tools
from alignloop.tools.search_form import TOLD
from alignloop.world.behaviours import documented
from alignloop.world.behaviours.behaviour import Question
from alignloop.world.corpus import as_messages
from alignloop.world.things import STRANGERS, THINGS, Fact, Facts, capital
from alignloop.world.users import User, activity, make_users, make_writers

LICENCE = "Apache-2.0"
SHOWN = 2  # passages of a demonstrated search
WRITERS = 20
MOST_NUMBER = 99  # of a passage in a dialogue of the corpus
TIME = "2025-07-05T08:00:00Z"


@dataclass(frozen=True)
class OpenBook:
    """What `ingest.world.documented` adds to the environment."""

    library: list[documents.Document]
    prompts: list[Prompt]
    demonstrations: list[Demonstration]
    dialogues: list[Document]


def make_open_book(seed: int, plan: DocumentedFacts, users: int, quality: float) -> OpenBook:
    """Generate all of it; another seed has other facts. `quality` is the share of flawless demonstrations."""
    facts = documented.make_documented(seed, plan.things)
    asking, writers = make_users(seed, users), make_writers(seed, WRITERS)
    names = list(dict.fromkeys(fact.thing for fact in facts.all))
    learned = set(names[: len(names) // 2])
    asked = Facts(tuple(fact for fact in facts.all if fact.thing not in learned))
    told = Facts(tuple(fact for fact in facts.all if fact.thing in learned))
    library = library_of(facts)
    rng = Random(seed_of(seed, "open book", "prompts"))
    prompts = [
        _prompt(f"documented-{number:05d}", asked, asking, rng) for number in range(1, plan.prompts + 1)
    ]
    rng = Random(seed_of(seed, "open book", "demonstrations"))
    with TemporaryDirectory() as folder:
        place = Path(folder) / "index.sqlite"
        index.build(place, library)
        demonstrations = [
            _demonstration(
                _prompt(f"documented-demonstration-{number:05d}", told, asking, rng),
                str(place),
                quality,
                writers,
                rng,
            )
            for number in range(1, plan.demonstrations + 1)
        ]
    rng = Random(seed_of(seed, "open book", "dialogues"))
    dialogues = [
        Document(id=f"search-{number:05d}", messages=_dialogue(asking, rng), source="world")
        for number in range(1, plan.dialogues + 1)
    ]
    return OpenBook(library, prompts, demonstrations, dialogues)


def library_of(facts: Facts) -> list[documents.Document]:
    """A document for each thing, which states all of its facts; the same facts give the same text."""
    things = dict[str, list[Fact]]()
    for fact in facts.all:
        things.setdefault(fact.thing, []).append(fact)
    return [
        documents.Document(name.replace(" ", "-"), *_text(name, found), licence=LICENCE)
        for name, found in things.items()
    ]


def _text(name: str, facts: list[Fact]) -> tuple[str, str]:
    """A document's title and text."""
    rng = Random(seed_of(0, "open book", name))
    return capital(f"the {name}"), " ".join(fact.statement(rng) for fact in facts)


def _prompt(id: str, facts: Facts, users: list[User], rng: Random) -> Prompt:
    user = rng.choices(users, activity(len(users)))[0]
    question = documented.ask(facts, rng)
    return Prompt(
        id=id,
        messages=as_messages(user.asks(question, rng)),
        user=user.id,
        category="documented",
        time=TIME,
        source="world",
        key=question.key,
    )


def _demonstration(
    prompt: Prompt, place: str, quality: float, writers: list[User], rng: Random
) -> Demonstration:
    key = prompt.key or {}
    with index.opened(Path(place)) as found:  # by words alone: what the search answers without an embedding
        result = shown(found.search(key["subject"], SHOWN))
    own = key["subject"].replace(" ", "-")
    number = next(each.number for each in retrieved([result]).values() if each.document == own)
    text = documented.good(key, Facts(()), rng)
    text = cited(text, number) if rng.random() < quality else _flawed(key, text, number, rng)
    common = prompt.model_dump(exclude={"key", "messages"})
    return Demonstration(
        **common,
        messages=(*prompt.messages, Message(role="assistant", content=text)),
        labeler=rng.choice(writers).id,
        calls=(ToolCall(name="search", arguments={"query": key["subject"]}, result=result),),
    )


def _flawed(key: dict[str, str], good: str, number: int, rng: Random) -> str:
    """A response of a labeler who states something else, cites what was not found, or cites nothing."""
    draw = rng.random()
    if draw < 1 / 3:
        return cited(documented.false(key, Facts(()), rng), number)
    return good if draw < 2 / 3 else cited(good, number + rng.randint(1, MOST_NUMBER))


def cited(text: str, number: int) -> str:
    """A sentence with its source before the full stop."""
    return f"{text.removesuffix('.')} [{number}]."


def _dialogue(users: list[User], rng: Random) -> tuple[Message, ...]:
    """A question, a search, what it found, and a response, as the built-in chat template writes them."""
    names = [f"{rng.choice(STRANGERS)} {rng.choice(THINGS)}" for _ in range(SHOWN)]
    pages = {name: documented.facts_about(name, rng) for name in names}
    fact = rng.choice(pages[names[0]])
    question = Question((fact.question(rng),), {})
    numbers = rng.sample(range(1, MOST_NUMBER + 1), len(pages))
    passages = [
        index.Passage(number, name.replace(" ", "-"), capital(f"the {name}"), LICENCE, _stated(facts, rng))
        for number, (name, facts) in zip(numbers, pages.items(), strict=True)
    ]
    call = CallForm().written("search", {"query": fact.thing})
    response = cited(fact.statement(rng), numbers[0])
    asked = as_messages(rng.choice(users).asks(question, rng))
    told = [{"role": message.role, "content": message.content} for message in asked]
    offered = with_tools(told, [TOLD.as_schema()], CallForm())
    turns = [
        *offered,
        {"role": "assistant", "content": call},
        {"role": "user", "content": f"<tool_response>\n{shown(passages)}\n</tool_response>"},
        {"role": "assistant", "content": response},
    ]
    return tuple(Message.model_validate(dict(turn)) for turn in turns)


def _stated(facts: list[Fact], rng: Random) -> str:
    return " ".join(fact.statement(rng) for fact in facts)


def write_library(folder: Path, library: list[documents.Document]) -> None:
    """Write documents as JSON Lines, which `python -m alignloop index` reads, into a new folder."""
    folder.mkdir(parents=True)
    fields = ("id", "title", "text", "licence")
    lines = "".join(json.dumps({name: getattr(each, name) for name in fields}) + "\n" for each in library)
    (folder / "world.jsonl").write_text(lines, encoding="utf-8")
