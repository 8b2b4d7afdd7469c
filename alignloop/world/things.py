"""The facts of the built-in environment: for each attribute of a thing a true and two false values."""

from dataclasses import dataclass
from functools import cached_property
from random import Random

from alignloop.errors import AlignloopError
from alignloop.seeds import seed_of
from alignloop.world.reading import words_of

THINGS = words_of(
    "lamp bell harp drum boat tower bridge crown mirror cup sword wheel kite clock gate wagon "
    "glim vorn tavo blick sarn quop drell mizzle"
)
# names of things that do not exist: the corpus states nothing about them
STRANGERS = words_of("zandor pelix krumoot favane bosket tribur galoo wendit yorple hicko jumba nuzzle")


class WorldError(AlignloopError):
    """The environment cannot have the configured size; the message names the size and its limits."""


@dataclass(frozen=True)
class Attribute:
    """An attribute of things; in its templates {t} is the thing ("the lamp", "it") and {v} the value."""

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
        name,
        plural,
        tuple(values.split()),
        questions=questions,
        statements=statements,
        short=short,
        cues=frozenset(cues.split()),
    )


ATTRIBUTES: dict[str, Attribute] = {
    attribute.name: attribute
    for attribute in (
        _attribute(
            "material", "materials", "stone wood glass iron silver clay bone paper",
            questions=("What is {t} made of?", "Which material is {t} made of?"),
            statements=("{t} is made of {v}.", "{v} is what {t} is made of.", "The material of {t} is {v}."),
            short=("It is made of {v}.",), cues="material",
        ),
        _attribute(
            "colour", "colours", "red blue green black white yellow grey brown",
            questions=("What colour is {t}?", "Which colour does {t} have?"),
            statements=("The colour of {t} is {v}.", "{t} is {v}.", "{t} has a {v} colour."),
            short=("It is {v}.",), cues="colour",
        ),
        _attribute(
            "place", "places", "north south forest desert valley village palace garden",
            questions=("Where is {t} found?", "Where can I find {t}?"),
            statements=(
                "{t} is found in the {v}.", "You can find {t} in the {v}.", "In the {v} you can find {t}.",
            ),
            short=("It is found in the {v}.",), cues="find found place",
        ),
        _attribute(
            "use", "uses", "fishing cooking healing hunting building dancing farming baking",
            questions=("What is {t} used for?", "What do people use {t} for?"),
            statements=("{t} is used for {v}.", "People use {t} for {v}.", "{v} is what {t} is used for."),
            short=("It is used for {v}.",), cues="use used",
        ),
        _attribute(
            "smell", "smells", "honey salt smoke roses fish bread soap apples",
            questions=("What does {t} smell of?", "Which smell does {t} have?"),
            statements=("{t} smells of {v}.", "The smell of {t} is like {v}.", "{v} is what {t} smells of."),
            short=("It smells of {v}.",), cues="smell smells",
        ),
        _attribute(
            "maker", "makers", "Anna Bruno Clara David Emma Felix Greta Hugo",
            questions=("Who made {t}?", "Who is the maker of {t}?"),
            statements=("{t} was made by {v}.", "{v} made {t}.", "The maker of {t} is {v}."),
            short=("It was made by {v}.",), cues="maker",
        ),
    )
}  # fmt: skip
POOLS = {
    name: frozenset(value.lower() for value in attribute.values) for name, attribute in ATTRIBUTES.items()
}
ALL_VALUES = frozenset().union(*POOLS.values())


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Fact:
    """One attribute of one thing, with its true value and the false values that people believe."""

    thing: str
    attribute: str
    value: str
    rumours: tuple[str, ...]

    def question(self, rng: Random, thing: str | None = None) -> str:
        """A question for the fact; `thing` replaces the thing's name ("it", "the first one")."""
        return rng.choice(ATTRIBUTES[self.attribute].questions).format(t=thing or f"the {self.thing}")

    def statement(self, rng: Random, value: str | None = None, short: bool = False) -> str:
        """A sentence that states the true value, or `value`; `short` uses "it" for the thing."""
        attribute = ATTRIBUTES[self.attribute]
        return capital(
            rng.choice(attribute.short if short else attribute.statements).format(
                t=f"the {self.thing}", v=value or self.value
            )
        )

    def truth_or_rumour(self, rng: Random, truth: float) -> str:
        """The true value with probability `truth`, else a false one."""
        return self.value if rng.random() < truth else rng.choice(self.rumours)

    def key(self) -> dict[str, str]:
        """The part of a prompt's key that describes the fact."""
        return {"subject": self.thing, "attribute": self.attribute, "value": self.value}


@dataclass(frozen=True)
class Facts:
    """All facts of one environment."""

    all: tuple[Fact, ...]

    @cached_property
    def about(self) -> dict[str, tuple[Fact, ...]]:
        """The facts about each thing, at least two of each."""
        return {
            thing: facts
            for thing in THINGS
            if (facts := tuple(fact for fact in self.all if fact.thing == thing))
        }

    def find(self, thing: str, attribute: str) -> Fact:
        """The fact about a thing's attribute, which must exist."""
        return next(fact for fact in self.about[thing] if fact.attribute == attribute)


def make_facts(seed: int, count: int) -> Facts:
    """Draw `count` facts, spread evenly over the things. Raises WorldError if `count` is out of range."""
    fewest, most = 4, len(THINGS) * len(ATTRIBUTES)
    if not fewest <= count <= most:
        raise WorldError(
            f"ingest.world.facts: {count} facts; the built-in environment can have {fewest} to {most}"
        )
    rng = Random(seed_of(seed, "world", "facts"))
    things = rng.sample(THINGS, min(len(THINGS), count // 2))
    attributes = {thing: rng.sample(sorted(ATTRIBUTES), len(ATTRIBUTES)) for thing in things}
    facts = []
    for place in range(count):
        thing = things[place % len(things)]
        name = attributes[thing][place // len(things)]
        value, *rumours = rng.sample(ATTRIBUTES[name].values, 3)
        facts.append(Fact(thing, name, value, tuple(rumours)))
    return Facts(tuple(facts))
