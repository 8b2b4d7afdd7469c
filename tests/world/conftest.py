"""Fixtures: an environment of the default sizes with fewer documents, and a generator of prompts."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from alignloop import params
from alignloop.params.ingest import World as Sizes
from alignloop.records import Prompt
from alignloop.world.behaviours import BEHAVIOURS
from alignloop.world.builder import World, make_world
from alignloop.world.corpus import as_messages
from alignloop.world.things import Facts, make_facts

PARAMS = params.load(Path(__file__).parents[2] / "params.yaml")


@pytest.fixture(scope="session")
def sizes() -> Sizes:
    return PARAMS.ingest.world.model_copy(update={"documents": 3000})


@pytest.fixture(scope="session")
def label() -> params.Label:
    return PARAMS.label


@pytest.fixture(scope="session")
def world(sizes: Sizes) -> World:
    return make_world(1, sizes)


@pytest.fixture(scope="session")
def facts(sizes: Sizes) -> Facts:
    return make_facts(1, sizes.facts)


@pytest.fixture(scope="session")
def prompt_for(facts: Facts) -> Callable[[str, Random], Prompt]:
    """Generates plain prompts of one behaviour."""

    def make(name: str, rng: Random) -> Prompt:
        question = BEHAVIOURS[name].ask(facts, rng)
        return Prompt(
            id="p",
            messages=as_messages(question.turns),
            user="u",
            category=name,
            source="world",
            key=question.key,
        )

    return make
