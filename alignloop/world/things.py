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
# Names that nothing bears: no prose of the corpus states anything about them.
STRANGERS = words_of("zandor pelix krumoot favane bosket tribur galoo wendit yorple hicko jumba nuzzle")


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


def _attribute(
    name: str,
    plural: str,
    values: str,
    questions: _Wordings,
    statements: _Wordings,
    short: _Wordings,
    cues: str,
) -> Attribute:
    return Attribute(
        name, plural, tuple(values.split()), questions, statements, short, frozenset(cues.split())
    )


ATTRIBUTES: dict[str, Attribute] = {
    attribute.name: attribute
    for attribute in (
        _attribute(
            "material", "materials", "stone wood glass iron silver clay bone paper",
            ("What is {t} made of?", "Which material is {t} made of?"),
            ("{t} is made of {v}.", "{v} is what {t} is made of.", "The material of {t} is {v}."),
            ("It is made of {v}.",), "material",
        ),
        _attribute(
            "colour", "colours", "red blue green black white yellow grey brown",
            ("What colour is {t}?", "Which colour does {t} have?"),
            ("The colour of {t} is {v}.", "{t} is {v}.", "{t} has a {v} colour."),
            ("It is {v}.",), "colour",
        ),
        _attribute(
            "place", "places", "north south forest desert valley village palace garden",
            ("Where is {t} found?", "Where can I find {t}?"),
            ("{t} is found in the {v}.", "You can find {t} in the {v}.", "In the {v} you can find {t}."),
            ("It is found in the {v}.",), "find found place",
        ),
        _attribute(
            "use", "uses", "fishing cooking healing hunting building dancing farming baking",
            ("What is {t} used for?", "What do people use {t} for?"),
            ("{t} is used for {v}.", "People use {t} for {v}.", "{v} is what {t} is used for."),
            ("It is used for {v}.",), "use used",
        ),
        _attribute(
            "smell", "smells", "honey salt smoke roses fish bread soap apples",
            ("What does {t} smell of?", "Which smell does {t} have?"),
            ("{t} smells of {v}.", "The smell of {t} is like {v}.", "{v} is what {t} smells of."),
            ("It smells of {v}.",), "smell smells",
        ),
        _attribute(
            "maker", "makers", "Anna Bruno Clara David Emma Felix Greta Hugo",
            ("Who made {t}?", "Who is the maker of {t}?"),
            ("{t} was made by {v}.", "{v} made {t}.", "The maker of {t} is {v}."),
            ("It was made by {v}.",), "maker",
        ),
    )
}  # fmt: skip
POOLS = {
    name: frozenset(value.lower() for value in attribute.values) for name, attribute in ATTRIBUTES.items()
}
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
        return capital(
            rng.choice(attribute.short if short else attribute.statements).format(
                t=f"the {self.thing}", v=value or self.value
            )
        )

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
        return {
            thing: found
            for thing in THINGS
            if (found := tuple(fact for fact in self.all if fact.thing == thing))
        }

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
        thing, name = (
            things[place % len(things)],
            attributes[things[place % len(things)]][place // len(things)],
        )
        value, *rumours = rng.sample(ATTRIBUTES[name].values, 3)
        facts.append(Fact(thing, name, value, tuple(rumours)))
    return Facts(tuple(facts))
