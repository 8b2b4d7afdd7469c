"""Many labelers at once on the labeling pages, and what is there after the server was killed: `python -m benchmarks.labeling`.

The server is `python -m alignloop label` with its own store, on the loopback. Each labeler is a browser without JavaScript: comes in by a
personal link, loads the item, rates each answer alone, ranks all, and thinks before each page for a time with an exponential distribution.
A page's time is from the request to the last byte after all redirects, connecting included. In the middle the server is killed with SIGKILL
and started again; what a browser would do, a labeler does: wait and send again. In the end every answer that was acknowledged has to be in
the store, once and as sent, and no item may have more answers than are wanted.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

import yaml
from sqlalchemy import select

from alignloop.labeling import accounts, rounds
from alignloop.labeling.database import DATABASE_FILE, LabelingDatabase
from alignloop.labeling.schema import Assignment, Item, Labeler, Submission
from alignloop.records import Message, Prompt, Samples
from alignloop.web.forms import letters

PROJECT = Path(__file__).parents[1]
WORDS = (PROJECT / "README.md").read_text(encoding="utf-8").split()
AGAIN = 0.25  # seconds until a request is sent again that found no server


@dataclass
class Tally:
    """What happened: seconds of pages by kind, answers that were acknowledged, requests that found no server."""

    pages: dict[str, list[float]] = field(default_factory=dict)
    acknowledged: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    retried: int = 0
    failed: Counter[str] = field(default_factory=Counter)


class Browser:
    """One labeler's browser: a connection, a cookie, the visit's key."""

    def __init__(self, port: int, tally: Tally) -> None:
        self._port, self._tally = port, tally
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._cookie = ""

    async def page(self, path: str, form: Mapping[str, str] | None = None) -> tuple[str, str, bool]:
        """The path and the text of the page that a request ends with, and whether all of it found a server at the first try."""
        smooth = True
        while True:
            kept = self._streams is not None
            try:
                status, headers, body = await self._request(path, form)
            except (OSError, asyncio.IncompleteReadError):
                self.close()
                if not kept:  # else the server had closed a connection that was idle, or it is gone: connecting will tell
                    smooth = False
                    self._tally.retried += 1
                    await asyncio.sleep(AGAIN)
                continue
            if status == 303:
                path, form = headers["location"], None
                continue
            if status != 200:
                said = re.search(r'class="problem"[^>]*>([^<]*)', body)
                self._tally.failed[
                    f"{status} {re.sub('[0-9]+', 'N', path)}: {said[1] if said else body[:100]}"
                ] += 1
            return path, body, smooth

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams:
            self._streams[1].close()
        self._streams = None

    async def _request(self, path: str, form: Mapping[str, str] | None) -> tuple[int, dict[str, str], str]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        body = urlencode(form or {}).encode()
        head = [
            f"{'GET' if form is None else 'POST'} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            f"Cookie: {self._cookie}",
        ]
        head += (
            []
            if form is None
            else ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
        )
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)
        }
        if "set-cookie" in headers:
            self._cookie = headers["set-cookie"].split(";")[0]
        text = await reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, text.decode()


async def labeler(name: str, secret: str, browser: Browser, tally: Tally, think: float, until: float) -> None:
    """Come in by the personal link and rank until the time is over or nothing is left."""
    chance = random.Random(name)
    await asyncio.sleep(chance.uniform(0, think))
    key, kind, path, form = "", "came in", f"/invitation/{secret}", {}
    while time.monotonic() < until:
        began = time.monotonic()
        place, text, smooth = await browser.page(path, form)
        if smooth:
            tally.pages.setdefault(kind, []).append(time.monotonic() - began)
        if kind == "ranking sent" and (place != path or "This assignment is submitted" in text):
            sent = {
                field[-1]: int(value) for field, value in (form or {}).items() if field.startswith("rank-")
            }
            tally.acknowledged[name, int(path.split("/")[2])] = sent
        await asyncio.sleep(chance.expovariate(1 / think) if think else 0)
        if kind == "came in":
            key, kind, path, form = _value(text, "key"), "next item", "/work/rank", None
            continue
        number = re.match(r"/item/([0-9]+)", place)
        if not number:
            break  # nothing is left for this labeler
        item = f"/item/{number[1]}"
        shared = {"key": key, "active": f"{chance.uniform(1, 90):.1f}"}
        if 'id="rate"' in text:
            rated = {
                "place": _value(text, "place"),
                "number": _value(text, "number"),
                "overall": str(chance.randint(1, 7)),
            }
            kind, path, form = "rating sent", f"{item}/rate", {**shared, **rated}
        else:
            kind, path = "ranking sent", f"{item}/rank"
            offered = re.findall(
                r'name="(rank-[A-I])" value="([1-9])"', text
            )  # gold items have other numbers of answers
            form = shared | {
                field: chance.choice([value for other, value in offered if other == field])
                for field, _ in offered
            }
    browser.close()


def _value(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, f"no field {name} in {text[:400]}"
    return found[1]


def prepare(
    root: Path, url: str, count: int, items: int, overlap: int, **people: float
) -> tuple[int, dict[str, str]]:
    """A project with a published round and labelers who have passed the quiz. Returns the pages' port and the links' secrets."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shutil.copytree(PROJECT / "configs", root / "configs")
    values = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    values["people"] |= {"url": f"http://127.0.0.1:{port}", **people}
    (root / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    store = LabelingDatabase(url)
    with store.reading() as session:
        assert not rounds.all_rounds(session), f"{store.name}: is somebody's; give an empty one"
    rounds.publish(store, "r1", [_sample(number) for number in range(items)], overlap, 1.0, None)
    secrets = invite(store, count)
    store.close()
    return port, secrets


def invite(store: LabelingDatabase, count: int) -> dict[str, str]:
    """Labelers who have passed the quiz, and the secrets of their personal links."""
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
        self._root, self._url, self._port, self._then, self._spent = root, url, port, then, 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it and return the seconds until it answered."""
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
        """End it by a signal."""
        assert self._process
        self._spent = self.cpu()
        self._process.send_signal(kind)
        self._process.wait()
        self._process = None

    def cpu(self) -> float:
        """Seconds of CPU that it took so far, over all its lives."""
        if self._process is None:
            return self._spent
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return self._spent + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check(url: str, overlap: int, tally: Tally) -> tuple[int, int]:
    """Answers in the store, and items with answers; raises AssertionError where one is lost, doubled, changed or too many."""
    store = LabelingDatabase(url)
    with store.reading() as session:
        rows = session.execute(
            select(Submission, Assignment.presented).join(Assignment, Assignment.id == Submission.assignment)
        ).all()
        items = {item.id: item for item in session.scalars(select(Item))}
    store.close()
    kept = {(answer.labeler, answer.assignment): (answer, presented) for answer, presented in rows}
    for (name, assignment), sent in tally.acknowledged.items():
        assert (name, assignment) in kept, f"lost: {name}'s answer {assignment}"
        answer, presented = kept[name, assignment]
        order = sorted(set(sent.values()))
        shown = [order.index(sent[letter]) + 1 for letter in letters(len(presented))]
        assert [(answer.ranks or [])[place] for place in presented] == shown, (
            f"changed: {name}'s answer {assignment}"
        )
    firsts = [answer for answer, _ in rows if answer.attempt == 1]
    assert len({(answer.item, answer.labeler) for answer in firsts}) == len(firsts), "an answer stands twice"
    of_item = Counter(answer.item for answer in firsts if items[answer.item].purpose == "work")
    assert max(of_item.values(), default=0) <= overlap, "an item has more answers than are wanted"
    assert all(items[item].done == count for item, count in of_item.items()), (
        "an item's count is not that of its answers"
    )
    return len(rows), len(of_item)


def main() -> None:
    given = _parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.database or f"sqlite:///{Path(folder) / DATABASE_FILE}"
        tally, spent, wall = measure(Path(folder), url, given)
        answers, items = check(url, given.overlap, tally)
    _tell(tally, spent, wall)
    print(
        f"{len(tally.acknowledged)} answers acknowledged, all in the store as sent; {answers} there, of {items} items; none doubled"
    )
    if tally.failed:
        raise SystemExit(f"pages that failed: {dict(tally.failed)}")


def measure(root: Path, url: str, given: argparse.Namespace, **people: float) -> tuple[Tally, float, float]:
    """Let labelers work; what happened, the server's seconds of CPU, and the seconds that all of it took."""
    tally = Tally()
    port, secrets = prepare(root, url, given.labelers, given.items, given.overlap, **people)
    server = Server(root, url, port)
    print(f"started in {server.start():.1f} s")
    before, began = server.cpu(), time.monotonic()
    try:
        asyncio.run(_crowd(server, secrets, port, tally, given))
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
    server: Server, secrets: Mapping[str, str], port: int, tally: Tally, given: argparse.Namespace
) -> None:
    until = time.monotonic() + given.seconds
    people = [
        asyncio.create_task(labeler(name, secrets[name], Browser(port, tally), tally, given.think, until))
        for name in secrets
    ]
    if not given.no_kill:
        await asyncio.sleep(given.seconds / 2)
        acknowledged = len(tally.acknowledged)
        await asyncio.to_thread(server.end, signal.SIGKILL)
        back = await asyncio.to_thread(server.start)
        print(
            f"killed by SIGKILL after {acknowledged} answers, there again after {back:.1f} s; {tally.retried} requests sent again"
        )
    await asyncio.gather(*people)


def _tell(tally: Tally, spent: float, wall: float) -> None:
    print(f"{'page':<14} {'count':>6} {'p50':>8} {'p95':>8} {'p99':>8}")
    for kind, seconds in [
        *tally.pages.items(),
        ("all", [each for times in tally.pages.values() for each in times]),
    ]:
        print(
            f"{kind:<14} {len(seconds):>6} {' '.join(f'{1000 * each:>5.0f} ms' for each in _percentiles(seconds))}"
        )
    count = sum(map(len, tally.pages.values()))
    print(
        f"{count / wall:.1f} pages a second; the server took {1000 * spent / count:.1f} ms of CPU a page, {spent / wall:.2f} of a core"
    )


def _percentiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    cuts = quantiles(seconds, n=100) if len(seconds) > 1 else [*seconds] * 99
    return median(seconds), cuts[94], cuts[98]


if __name__ == "__main__":
    main()
