"""A real labeling store for every test here, on SQLite and on PostgreSQL; and the few samples and labelers that tests bend."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from alignloop.labeling import accounts, assignments, rounds
from alignloop.labeling.assignments import Given, Lending
from alignloop.labeling.database import Store
from alignloop.labeling.schema import Labeler
from alignloop.records import Message, Prompt, Samples

LENDING = Lending(minutes=10, gold=0.0, repeated=0.0)


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with the least of time and memory."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", quick)
    monkeypatch.setattr(accounts, "_NOBODY", quick.hash("nobody"))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    if request.param == "sqlite":
        opened = Store(f"sqlite:///{tmp_path}/people/labeling.db")
    else:
        url = request.getfixturevalue("postgres")
        opened = Store(url)
        with opened.engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        opened.close()
        opened = Store(url)
    yield opened
    opened.close()


def samples(count: int, k: int = 3, word: str = "answer") -> list[Samples]:
    """Prompts with K answers each."""
    made = []
    for number in range(count):
        prompt = Prompt(
            id=f"p{number}",
            messages=(Message(role="user", content=f"Question {number}?"),),
            user="u",
            source="test",
        )
        responses = tuple(f"{word} {number}.{place}" for place in range(k))
        made.append(
            Samples(
                id=f"r1-p{number}",
                prompt=prompt,
                responses=responses,
                policy="models/sft",
                round="r1",
                split="train",
            )
        )
    return made


def publish(store: Store, count: int = 3, k: int = 3, overlap: int = 1) -> None:
    rounds.publish(store, "r1", samples(count, k), overlap, 1.0, None)


@pytest.fixture
def join(store: Store) -> Callable[..., str]:
    """Make somebody a qualified labeler."""

    def join(name: str, qualified: bool | None = True) -> str:
        accounts.invite(store, f"labeler-{name}", "labeler", "test")
        with store.writing() as session:
            session.get_one(Labeler, f"labeler-{name}").qualified = qualified
        return f"labeler-{name}"

    return join


def take(store: Store, who: str, lending: Lending = LENDING) -> int | None:
    return assignments.take(store, who, "rank", "work", lending)


def rank(store: Store, who: str, *ranks: int, lending: Lending = LENDING) -> int:
    """Take the next item and rank it."""
    lent = take(store, who, lending)
    assert lent is not None
    assert assignments.give(store, lent, who, Given(ranks=ranks), "g-1")
    return lent
