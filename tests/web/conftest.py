"""The labeling pages over a real store in a project of their own, and the people who use them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.testclient import TestClient

from alignloop import params as parameters
from alignloop.labeling import accounts, rounds
from alignloop.labeling.database import Store
from alignloop.labeling.schema import Labeler
from alignloop.params import Params
from alignloop.records import Message, Prompt, Samples
from alignloop.web.app import create_app
from alignloop.web.settings import prepare

PROJECT = Path(__file__).parents[2]
HOST = "http://127.0.0.1:4300"


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with the least of time and memory."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", quick)
    monkeypatch.setattr(accounts, "_NOBODY", quick.hash("nobody"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/people/labeling.db")
    yield opened
    opened.close()


@pytest.fixture
def params() -> Params:
    """The project's own, without gold and repeats among the work, and with two of the ratings."""
    found = parameters.load(PROJECT / "params.yaml")
    people = found.people.model_copy(
        update={"gold_share": 0.0, "repeated_share": 0.0, "ratings": ["overall", "hallucination"]}
    )
    return found.model_copy(update={"people": people})


@pytest.fixture
def app(store: Store, params: Params, tmp_path: Path) -> FastAPI:
    shutil.copytree(PROJECT / "configs", tmp_path / "configs")
    return create_app(store, prepare(store, params, tmp_path))


def samples(count: int, *responses: str, said: str = "What is the moon made of?") -> list[Samples]:
    given = responses or ("Rock.", "Cheese.", "Of rock.")
    return [
        Samples(
            id=f"r1-p{number}",
            prompt=Prompt(
                id=f"p{number}",
                messages=(Message(role="user", content=f"{said} ({number})"),),
                user=f"u{number}",
                source="test",
            ),
            responses=given,
            policy="models/secret-name",
            round="r1",
            split="train",
        )
        for number in range(count)
    ]


def publish(
    store: Store, count: int = 2, *responses: str, overlap: int = 1, said: str = "What is the moon made of?"
) -> None:
    rounds.publish(store, "r1", samples(count, *responses, said=said), overlap, 1.0, None)


class Visit(TestClient):
    """A browser without JavaScript, signed in by a personal link."""

    def __init__(
        self,
        app: FastAPI,
        store: Store,
        name: str,
        qualified: bool | None = True,
        role: accounts.Role = "labeler",
    ) -> None:
        super().__init__(app, base_url=HOST, follow_redirects=True, raise_server_exceptions=True)
        self.name = f"labeler-{name}"
        secret = accounts.invite(store, self.name, role, "test")
        with store.writing() as session:
            session.get_one(Labeler, self.name).qualified = qualified
        assert self.submit(f"/invitation/{secret}").status_code == 200
        cookie = self.cookies["alignloop"]
        with store.reading() as session:
            guest = accounts.guest(session, cookie)
        assert guest
        self.key = guest.form_key

    def submit(self, path: str, **fields: str):
        """Send a form as the pages' own forms are sent."""
        key = {"key": self.key} if hasattr(self, "key") else {}
        return self.post(path, data={**key, **fields}, headers={"Origin": HOST})

    def work(self, name: str = "rank") -> int:
        """The number of the item in hand, or of the next."""
        place = str(self.get(f"/work/{name}").url)
        assert "/item/" in place, place
        return int(place.rsplit("/", 1)[1].partition("?")[0])

    def rate(self, lent: int, k: int = 3) -> None:
        for place in range(k):
            assert (
                self.submit(
                    f"/item/{lent}/rate", place=str(place), number="0", overall="4", hallucination="1"
                ).status_code
                == 200
            )
