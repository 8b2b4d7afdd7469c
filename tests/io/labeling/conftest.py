"""A real labeling store for every test here, on SQLite and on PostgreSQL; and the few samples and labelers that tests bend."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from alignloop.io.labeling import labelers, queue, rounds
from alignloop.io.labeling.queue import Given, Lending
from alignloop.io.labeling.store import Store
from alignloop.io.labeling.tables import Labeler
from alignloop.records import Message, Prompt, Samples

LENDING = Lending(minutes=10, gold=0.0, repeated=0.0)


def programs() -> Path | None:
    """Where PostgreSQL's own programs are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(each) for each in [shutil.which("initdb")] if each]
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of its own, on a socket, without a port."""
    bin = programs()
    if bin is None:
        pytest.skip("no PostgreSQL is installed here (initdb is missing)")
    folder = tmp_path_factory.mktemp("pg")
    root = os.geteuid() == 0  # PostgreSQL refuses to run as root
    if root:
        for place in (folder, *folder.parents[:2]):
            place.chmod(0o755)
        shutil.chown(folder, "postgres", "postgres")
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if root else {}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": folder, "check": True, **who}
    subprocess.run([bin / "initdb", "-D", "data", "-U", "test", "-A", "trust", "--no-sync", "--locale=C.UTF-8"], **quiet)
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    subprocess.run([bin / "pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start"], **quiet)
    try:
        yield f"postgresql://test@/postgres?host={folder}"
    finally:
        subprocess.run([bin / "pg_ctl", "-D", "data", "-m", "immediate", "stop"], **quiet)


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with the least of time and memory."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(labelers, "_hasher", quick)
    monkeypatch.setattr(labelers, "_NOBODY", quick.hash("nobody"))


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
        prompt = Prompt(id=f"p{number}", messages=(Message(role="user", content=f"Question {number}?"),), user="u", source="test")
        responses = tuple(f"{word} {number}.{place}" for place in range(k))
        made.append(Samples(id=f"r1-p{number}", prompt=prompt, responses=responses, policy="models/sft", round="r1", split="train"))
    return made


def publish(store: Store, count: int = 3, k: int = 3, overlap: int = 1) -> None:
    rounds.publish(store, "r1", samples(count, k), overlap, 1.0, None)


@pytest.fixture
def join(store: Store) -> Callable[..., str]:
    """Make somebody a qualified labeler."""

    def join(name: str, qualified: bool | None = True) -> str:
        labelers.invite(store, f"labeler-{name}", "labeler", "test")
        with store.writing() as session:
            session.get_one(Labeler, f"labeler-{name}").qualified = qualified
        return f"labeler-{name}"

    return join


def take(store: Store, who: str, lending: Lending = LENDING) -> int | None:
    return queue.take(store, who, "rank", "work", lending)


def rank(store: Store, who: str, *ranks: int, lending: Lending = LENDING) -> int:
    """Take the next item and rank it."""
    lent = take(store, who, lending)
    assert lent is not None
    assert queue.give(store, lent, who, Given(ranks=ranks), "g-1")
    return lent
