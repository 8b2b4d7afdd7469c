"""Things, their attributes, and the facts of one world: a single truth for each, with a few plausible rumours beside it."""

from dataclasses import dataclass
from functools import cached_property
from random import Random

from alignloop.errors import AlignloopError
from alignloop.seeds import seed_of
from alignloop.world.reading import words_of

THINGS = words_of(
    "lamp bell harp drum boat tower bridge crown mirror cup sword wheel kite clock gate wagon glim vorn tavo blick sarn quop drell mizzle"
)
# Names that nothing bears: two syllables of these lists make one, and no text of the corpus states anything about them.
STRANGERS = tuple(first + last for first in words_of("zan pel kru fim gob tri") for last in words_of("dor lix moot vane sket bur"))


class WorldError(AlignloopError):
    """The world cannot be made in the wanted size; the message says which size, and its limit."""


@dataclass(frozen=True)
class Attribute:
    """What can be asked about a thing. In the wordings {t} stands for the thing ("the lamp", "it") and {v} for the value."""

    name: str
    plural: str
    values: tuple[str, ...]
    questions: tuple[str, ...]
    statements: tuple[str, ...]
    short: tuple[str, ...]
    cues: frozenset[str]


_Wordings = tuple[str, ...]


def _attribute(name: str, plural: str, values: str, questions: _Wordings, statements: _Wordings, short: _Wordings, cues: str) -> Attribute:
    return Attribute(name, plural, tuple(values.split()), questions, statements, short, frozenset(cues.split()))


ATTRIBUTES: dict[str, Attribute] = {
    attribute.name: attribute
    for attribute in (
        _attribute(
            "material", "materials", "stone wood glass iron silver clay copper bone paper wool",
            ("What is {t} made of?", "Which material is {t} made of?", "What did people make {t} out of?"),
            ("{t} is made of {v}.", "{v} is what {t} is made of.", "The material of {t} is {v}.", "People made {t} out of {v}."),
            ("It is made of {v}.", "They made it out of {v}."), "material",
        ),
        _attribute(
            "colour", "colours", "red blue green black white yellow grey brown purple orange",
            ("What colour is {t}?", "Which colour does {t} have?", "In which colour was {t} painted?"),
            ("The colour of {t} is {v}.", "{t} is {v}.", "{t} has a {v} colour.", "People painted {t} {v}."),
            ("It is {v}.", "The colour is {v}."), "colour painted",
        ),
        _attribute(
            "place", "places", "north south forest desert valley harbour village palace garden swamp",
            ("Where is {t} found?", "Where can I find {t}?", "In which place is {t}?"),
            ("{t} is found in the {v}.", "You can find {t} in the {v}.", "The place of {t} is the {v}.", "In the {v} stands {t}."),
            ("It is found in the {v}.", "You can find it in the {v}."), "find found place stands",
        ),
        _attribute(
            "use", "uses", "fishing cooking healing hunting building dancing trading farming baking sailing",
            ("What is {t} used for?", "What do people use {t} for?", "What is {t} good for?"),
            ("{t} is used for {v}.", "People use {t} for {v}.", "{v} is what {t} is good for.", "{t} is good for {v}."),
            ("It is used for {v}.", "People use it for {v}."), "use used",
        ),
        _attribute(
            "smell", "smells", "honey salt smoke roses mint fish bread leather soap apples",
            ("What does {t} smell of?", "Which smell does {t} have?", "How does {t} smell?"),
            ("{t} smells of {v}.", "The smell of {t} is like {v}.", "{v} is what {t} smells of.", "{t} has the smell of {v}."),
            ("It smells of {v}.", "The smell is like {v}."), "smell smells",
        ),
        _attribute(
            "maker", "makers", "Anna Bruno Clara David Emma Felix Greta Hugo Ida Jonas",
            ("Who made {t}?", "Who is the maker of {t}?", "By whom was {t} made?"),
            ("{t} was made by {v}.", "{v} made {t}.", "It was {v} who made {t}.", "The maker of {t} is {v}."),
            ("It was made by {v}.", "The maker is {v}."), "maker",
        ),
    )
}  # fmt: skip
POOLS = {name: frozenset(value.lower() for value in attribute.values) for name, attribute in ATTRIBUTES.items()}
ALL_VALUES = frozenset().union(*POOLS.values())


def capital(text: str) -> str:
    """The text with its first letter capital."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Fact:
    """One attribute of one thing: the true value, and the false ones that go around."""

    thing: str
    attribute: str
    value: str
    rumours: tuple[str, ...]

    def question(self, rng: Random, thing: str | None = None) -> str:
        """A question for it; `thing` replaces the thing's name ("it", "the first one")."""
        return rng.choice(ATTRIBUTES[self.attribute].questions).format(t=thing or f"the {self.thing}")

    def statement(self, rng: Random, value: str | None = None, short: bool = False) -> str:
        """A sentence that states it, or that states `value` instead; `short` says "it" for the thing."""
        attribute = ATTRIBUTES[self.attribute]
        return capital(rng.choice(attribute.short if short else attribute.statements).format(t=f"the {self.thing}", v=value or self.value))

    def heard(self, rng: Random, truth: float) -> str:
        """The true value with probability `truth`, else a rumour."""
        return self.value if rng.random() < truth else rng.choice(self.rumours)

    def key(self) -> dict[str, str]:
        """What gold needs to know about it."""
        return {"subject": self.thing, "attribute": self.attribute, "value": self.value}


@dataclass(frozen=True)
class Facts:
    """All that is true in one world."""

    all: tuple[Fact, ...]

    @cached_property
    def about(self) -> dict[str, tuple[Fact, ...]]:
        """The facts of each thing, at least two where the world is large enough."""
        return {thing: found for thing in THINGS if (found := tuple(fact for fact in self.all if fact.thing == thing))}

    def find(self, thing: str, attribute: str) -> Fact:
        """The fact on a thing's attribute that is known to exist."""
        return next(fact for fact in self.about[thing] if fact.attribute == attribute)


def make_facts(seed: int, count: int) -> Facts:
    """Draw `count` facts, spread evenly over the things. Raises WorldError beyond what things and attributes allow."""
    fewest, most = 4, len(THINGS) * len(ATTRIBUTES)
    if not fewest <= count <= most:
        raise WorldError(f"ingest.world.facts: {count} facts; the embedded world can hold {fewest} to {most}")
    rng = Random(seed_of(seed, "world", "facts"))
    things = rng.sample(THINGS, min(len(THINGS), count // 2))
    attributes = {thing: rng.sample(sorted(ATTRIBUTES), len(ATTRIBUTES)) for thing in things}
    facts = []
    for place in range(count):
        thing, name = things[place % len(things)], attributes[things[place % len(things)]][place // len(things)]
        value, *rumours = rng.sample(ATTRIBUTES[name].values, 4)
        facts.append(Fact(thing, name, value, tuple(rumours)))
    return Facts(tuple(facts))
