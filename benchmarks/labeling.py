"""Load test of the labeling pages with many labelers and a killed server: `python -m benchmarks.labeling`.

The server is `python -m alignloop label` with its own store, on the loopback. Each labeler is a browser
without JavaScript: it signs in by a personal link, loads the item, rates each response, ranks all, and
waits before each page for an exponentially distributed time. A page's time is from the request to the last
byte after all redirects, including connecting. Half-way the server is killed with SIGKILL and started
again; labelers wait and send again, as a browser would. At the end every acknowledged ranking must be in
the store, once and as sent, and no item may have more rankings than its overlap.
"""

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

import yaml
from sqlalchemy import select

from alignloop.labeling import accounts, rounds
from alignloop.labeling.database import DATABASE_FILE, LabelingDatabase
from alignloop.labeling.schema import Assignment, Item, Labeler, Submission
from alignloop.records import Message, Prompt, Samples
from alignloop.web.forms import letters
from benchmarks.labeling_browser import Browser, Tally, labeler

PROJECT = Path(__file__).parents[1]
WORDS = (PROJECT / "README.md").read_text(encoding="utf-8").split()


def prepare(
    root: Path, url: str, count: int, items: int, overlap: int, **people: float
) -> tuple[int, dict[str, str]]:
    """Make a project with a published round and qualified labelers; returns the port and the secrets."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shutil.copytree(PROJECT / "configs", root / "configs")
    values = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    values["people"] |= {"url": f"http://127.0.0.1:{port}", **people}
    (root / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    store = LabelingDatabase(url)
    with store.reading() as session:
        assert not rounds.all_rounds(session), f"{store.name}: the database is in use; give an empty one"
    samples = [_sample(number) for number in range(items)]
    rounds.publish(store, "r1", samples, overlap=overlap, enough=1.0, deadline_hours=None)
    secrets = invite(store, count)
    store.close()
    return port, secrets


def invite(store: LabelingDatabase, count: int) -> dict[str, str]:
    """Create labelers who have passed the quiz; returns the secrets of their invitation links."""
    secrets = {
        f"labeler-n{n}": accounts.invite(store, f"labeler-n{n}", "labeler", "benchmark") for n in range(count)
    }
    with store.writing() as session:
        for person in session.scalars(select(Labeler)):
            person.qualified = True
    return secrets


def _sample(number: int) -> Samples:
    chance = random.Random(number)
    texts = tuple(" ".join(chance.choices(WORDS, k=chance.randint(10, 120))) for _ in range(6))
    prompt = Prompt(
        id=f"p{number}",
        messages=(Message(role="user", content=f"{number}: {texts[0]}"),),
        user="u",
        source="benchmark",
    )
    return Samples(
        id=f"r1-p{number}", prompt=prompt, responses=texts, policy="models/sft", round="r1", split="train"
    )


class Server:
    """`python -m alignloop label` in a folder."""

    def __init__(self, root: Path, url: str, port: int, then: str = "") -> None:
        self._root, self._url = root, url
        self._port, self._then = port, then
        self._spent = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the server and return the seconds until it accepts connections."""
        began = time.monotonic()
        environment = os.environ | {"DATABASE_URL": self._url, "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-m", "alignloop", "label", "serve", "--then", self._then]
        with (self._root / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._root, env=environment, stdout=log, stderr=log)
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
                return time.monotonic() - began
            assert self._process.poll() is None, (self._root / "server.log").read_text()
            time.sleep(0.05)

    def end(self, kind: signal.Signals) -> None:
        """End the server by a signal."""
        assert self._process
        self._spent = self.cpu()
        self._process.send_signal(kind)
        self._process.wait()
        self._process = None

    def cpu(self) -> float:
        """The server's CPU seconds so far, over all restarts."""
        if self._process is None:
            return self._spent
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return self._spent + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check(url: str, overlap: int, tally: Tally) -> tuple[int, int]:
    """The numbers of rankings and of ranked items in the store.

    Raises AssertionError where a ranking is lost, doubled or changed, or an item has too many.
    """
    store = LabelingDatabase(url)
    with store.reading() as session:
        rows = session.execute(
            select(Submission, Assignment.presented).join(Assignment, Assignment.id == Submission.assignment)
        ).all()
        items = {item.id: item for item in session.scalars(select(Item))}
    store.close()
    kept = {(answer.labeler, answer.assignment): (answer, presented) for answer, presented in rows}
    for (name, assignment), sent in tally.acknowledged.items():
        assert (name, assignment) in kept, f"lost: {name}'s ranking {assignment}"
        answer, presented = kept[name, assignment]
        order = sorted(set(sent.values()))
        kept_ranks = answer.ranks or []
        ranks = dict(zip(letters(len(presented)), (kept_ranks[place] for place in presented), strict=True))
        # equal responses were one card, sent under the letter of its first copy
        assert {letter: ranks[letter] for letter in sent} == {
            letter: order.index(rank) + 1 for letter, rank in sent.items()
        }, f"changed: {name}'s ranking {assignment}"
    firsts = [answer for answer, _ in rows if answer.attempt == 1]
    assert len({(answer.item, answer.labeler) for answer in firsts}) == len(firsts), (
        "a ranking is stored twice"
    )
    of_item = Counter(answer.item for answer in firsts if items[answer.item].purpose == "work")
    assert max(of_item.values(), default=0) <= overlap, "an item has more rankings than its overlap"
    assert all(items[item].done == count for item, count in of_item.items()), (
        "an item's count differs from its rankings"
    )
    return len(rows), len(of_item)


def main() -> None:
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = arguments.database or f"sqlite:///{Path(folder) / DATABASE_FILE}"
        tally, spent, wall = measure(Path(folder), url, arguments)
        answers, items = check(url, arguments.overlap, tally)
    _report(tally, spent, wall)
    print(
        f"{len(tally.acknowledged)} rankings acknowledged, all in the store as sent; {answers} stored, of "
        f"{items} items; none doubled"
    )
    if tally.failed:
        raise SystemExit(f"pages that failed: {dict(tally.failed)}")


def measure(
    root: Path, url: str, arguments: argparse.Namespace, **people: float
) -> tuple[Tally, float, float]:
    """Let labelers work; returns measurements, the server's CPU seconds and the wall seconds."""
    tally = Tally()
    port, secrets = prepare(root, url, arguments.labelers, arguments.items, arguments.overlap, **people)
    server = Server(root, url, port)
    print(f"started in {server.start():.1f} s")
    before, began = server.cpu(), time.monotonic()
    try:
        asyncio.run(_crowd(server, secrets, port, tally, arguments))
        return tally, server.cpu() - before, time.monotonic() - began
    finally:
        server.end(signal.SIGTERM)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labelers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=5.0, help="seconds before each page, on average")
    parser.add_argument("--items", type=int, default=1500)
    parser.add_argument("--overlap", type=int, default=2)
    parser.add_argument("--database", help="postgresql://… instead of SQLite; it has to be empty")
    parser.add_argument("--no-kill", action="store_true")
    return parser


async def _crowd(
    server: Server, secrets: Mapping[str, str], port: int, tally: Tally, arguments: argparse.Namespace
) -> None:
    until = time.monotonic() + arguments.seconds
    people = [
        asyncio.create_task(
            labeler(name, secrets[name], Browser(port, tally), tally, think=arguments.think, until=until)
        )
        for name in secrets
    ]
    if not arguments.no_kill:
        await asyncio.sleep(arguments.seconds / 2)
        acknowledged = len(tally.acknowledged)
        await asyncio.to_thread(server.end, signal.SIGKILL)
        back = await asyncio.to_thread(server.start)
        print(
            f"killed by SIGKILL after {acknowledged} rankings, restarted in {back:.1f} s; "
            f"{tally.retried} requests sent again"
        )
    await asyncio.gather(*people)


def _report(tally: Tally, spent: float, wall: float) -> None:
    print(f"{'page':<14} {'count':>6} {'p50':>8} {'p95':>8} {'p99':>8}")
    for kind, seconds in [
        *tally.pages.items(),
        ("all", [each for times in tally.pages.values() for each in times]),
    ]:
        print(
            f"{kind:<14} {len(seconds):>6} "
            f"{' '.join(f'{1000 * each:>5.0f} ms' for each in _percentiles(seconds))}"
        )
    count = sum(map(len, tally.pages.values()))
    print(
        f"{count / wall:.1f} pages a second; the server took {1000 * spent / count:.1f} ms of CPU a page, "
        f"{spent / wall:.2f} of a core"
    )


def _percentiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    cuts = quantiles(seconds, n=100) if len(seconds) > 1 else [*seconds] * 99
    return median(seconds), cuts[94], cuts[98]


if __name__ == "__main__":
    main()
