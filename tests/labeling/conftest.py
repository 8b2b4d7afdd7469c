"""Fixtures of the labeling tests: a real database, on SQLite and on PostgreSQL, with samples and labelers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from alignloop.labeling import accounts, assignments, rounds
from alignloop.labeling.assignments import SubmissionContent
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.item_selection import AssignmentSettings
from alignloop.labeling.schema import Labeler
from alignloop.records import Message, Prompt, Samples

ASSIGNMENT_SETTINGS = AssignmentSettings(lease_minutes=10, gold_share=0.0, repeated_share=0.0)


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with the least time and memory, so that the tests are fast."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", quick)
    monkeypatch.setattr(accounts, "_DUMMY_HASH", quick.hash("nobody"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LabelingDatabase]:
    """An empty database."""
    if request.param == "sqlite":
        opened = LabelingDatabase(f"sqlite:///{tmp_path}/people/labeling.db")
    else:
        url = request.getfixturevalue("postgres")
        opened = LabelingDatabase(url)
        with opened.engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        opened.close()
        opened = LabelingDatabase(url)
    yield opened
    opened.close()


def samples(count: int, k: int = 3, word: str = "response") -> list[Samples]:
    """Prompts with K responses each."""
    result = []
    for number in range(count):
        prompt = Prompt(
            id=f"p{number}",
            messages=(Message(role="user", content=f"Question {number}?"),),
            user="u",
            source="test",
        )
        responses = tuple(f"{word} {number}.{place}" for place in range(k))
        result.append(
            Samples(
                id=f"r1-p{number}",
                prompt=prompt,
                responses=responses,
                policy="models/sft",
                round="r1",
                split="train",
            )
        )
    return result


def publish(database: LabelingDatabase, count: int = 3, k: int = 3, overlap: int = 1) -> None:
    rounds.publish(database, "r1", samples(count, k), overlap=overlap, enough=1.0, deadline_hours=None)


@pytest.fixture
def join(database: LabelingDatabase) -> Callable[..., str]:
    """Create the account of a labeler, by default a qualified one."""

    def join(name: str, qualified: bool | None = True) -> str:
        accounts.invite(database, f"labeler-{name}", "labeler", "test")
        with database.writing() as session:
            session.get_one(Labeler, f"labeler-{name}").qualified = qualified
        return f"labeler-{name}"

    return join


def assign_next(
    database: LabelingDatabase, who: str, settings: AssignmentSettings = ASSIGNMENT_SETTINGS
) -> int | None:
    return assignments.assign(database, who, "rank", "work", settings)


def rank(
    database: LabelingDatabase, who: str, *ranks: int, settings: AssignmentSettings = ASSIGNMENT_SETTINGS
) -> int:
    """Assign the next item to the labeler and submit its ranking."""
    assignment = assign_next(database, who, settings)
    assert assignment is not None
    assert assignments.submit(database, assignment, who, SubmissionContent(ranks=ranks), "g-1")
    return assignment
