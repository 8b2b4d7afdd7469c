"""Fixtures of the page tests: the pages on a real database in a project of their own, and clients."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.testclient import TestClient

from alignloop import params as parameters
from alignloop.labeling import accounts, rounds
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Labeler
from alignloop.params import Params
from alignloop.records import Message, Prompt, Samples
from alignloop.web.app import create_app
from alignloop.web.settings import prepare_settings
from tests.conftest import make_project

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PROJECT = Path(__file__).parents[2]
HOST = "http://127.0.0.1:4300"


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with the least time and memory, so that the tests are fast."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", quick)
    monkeypatch.setattr(accounts, "_DUMMY_HASH", quick.hash("nobody"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LabelingDatabase]:
    opened = LabelingDatabase(f"sqlite:///{tmp_path}/people/labeling.db")
    yield opened
    opened.close()


@pytest.fixture
def params() -> Params:
    """The project's params with two of the ratings, and without gold items and repeats."""
    project = parameters.load(PROJECT / "params.yaml")
    people = project.people.model_copy(
        update={"gold_share": 0.0, "repeated_share": 0.0, "ratings": ["overall", "hallucination"]}
    )
    return project.model_copy(update={"people": people})


@pytest.fixture
def app(database: LabelingDatabase, params: Params, tmp_path: Path) -> FastAPI:
    shutil.copytree(PROJECT / "configs", tmp_path / "configs")
    return create_app(database, prepare_settings(database, params, tmp_path))


@pytest.fixture
def pages(project: Path, database: LabelingDatabase, params: Params) -> FastAPI:
    """The pages of a project with a model registry."""
    shutil.copytree(PROJECT / "configs", project / "configs")
    return create_app(database, prepare_settings(database, params, project))


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with two versions of a policy, of which the first is the champion, and a store of its own."""
    from alignloop import tracking
    from alignloop.tracking import registry
    from tests.web.chat_server import register_policy

    store = tmp_path_factory.mktemp("policies-store") / "mlflow.db"
    tracking.client(f"sqlite:///{store}").search_experiments()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        root = make_project(tmp_path_factory.mktemp("policies") / "project", store)
        first = register_policy(root, 0)
        assert first.version == 1, f"{tracking.store_uri(root)} had versions before"
        register_policy(root, 1)
        registry.set_alias(root, "champion", first)
        yield root


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    from tests.web.browser import CHROMIUM

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def served_with(
    database: LabelingDatabase, params: Params, tmp_path: Path
) -> Callable[..., AbstractContextManager[str]]:
    """Serve the pages with other values of `people`."""
    from tests.web.browser import served

    def serve(**changes: Any) -> AbstractContextManager[str]:
        people = params.people.model_copy(update=changes)
        return served(database, params.model_copy(update={"people": people}), tmp_path)

    return serve


@pytest.fixture
def url(database: LabelingDatabase, params: Params, tmp_path: Path) -> Iterator[str]:
    """The URL of the pages, served on a free port of the loopback."""
    from tests.web.browser import served

    with served(database, params, tmp_path) as url:
        yield url


def samples(count: int, *responses: str, prompt: str = "What is the moon made of?") -> list[Samples]:
    texts = responses or ("Rock.", "Cheese.", "Of rock.")
    return [
        Samples(
            id=f"r1-p{number}",
            prompt=Prompt(
                id=f"p{number}",
                messages=(Message(role="user", content=f"{prompt} ({number})"),),
                user=f"u{number}",
                source="test",
            ),
            responses=texts,
            policy="models/secret-name",
            round="r1",
            split="train",
        )
        for number in range(count)
    ]


def publish(
    database: LabelingDatabase,
    count: int = 2,
    *responses: str,
    overlap: int = 1,
    prompt: str = "What is the moon made of?",
) -> None:
    rounds.publish(
        database,
        "r1",
        samples(count, *responses, prompt=prompt),
        overlap=overlap,
        enough=1.0,
        deadline_hours=None,
    )


class SignedInClient(TestClient):
    """A browser without JavaScript, signed in by an invitation link."""

    def __init__(
        self,
        app: FastAPI,
        database: LabelingDatabase,
        name: str,
        qualified: bool | None = True,
        role: accounts.Role = "labeler",
    ) -> None:
        super().__init__(app, base_url=HOST, follow_redirects=True, raise_server_exceptions=True)
        self.name = f"labeler-{name}"
        secret = accounts.invite(database, self.name, role, "test")
        with database.writing() as session:
            session.get_one(Labeler, self.name).qualified = qualified
        assert self.submit(f"/invitation/{secret}").status_code == 200
        cookie = self.cookies["alignloop"]
        with database.reading() as session:
            account = accounts.signed_in_account(session, cookie)
        assert account
        self.key = account.form_key

    def submit(self, path: str, **fields: str):
        """Send a form with the session's key, as the pages do."""
        key = {"key": self.key} if hasattr(self, "key") else {}
        return self.post(path, data={**key, **fields}, headers={"Origin": HOST})

    def work(self, name: str = "rank") -> int:
        """The ID of the open assignment, or of a new one."""
        place = str(self.get(f"/work/{name}").url)
        assert "/item/" in place, place
        return int(place.rsplit("/", 1)[1].partition("?")[0])

    def rate(self, assignment: int, k: int = 3) -> None:
        for place in range(k):
            assert (
                self.submit(
                    f"/item/{assignment}/rate", place=str(place), number="0", overall="4", hallucination="1"
                ).status_code
                == 200
            )
