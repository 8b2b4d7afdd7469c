"""Strangers who send too much, too slowly or too often do not stop the pages for others."""

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from alignloop.labeling import accounts
from alignloop.labeling.database import LabelingDatabase
from alignloop.web import request_guard
from tests.web.conftest import SignedInClient, publish

MEBIBYTE = 1 << 20


def resident_bytes() -> int:
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) * 1024


def send_raw(url: str, head: str, chunks: list[bytes]) -> bytes:
    """Send a request byte by byte as given, and return the beginning of the answer."""
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), address.port or 80), timeout=20) as connection:
        connection.sendall(f"{head}\r\nHost: {address.netloc}\r\n\r\n".encode())
        with suppress(OSError):
            for chunk in chunks:
                connection.sendall(chunk)
        return connection.recv(1000)


@pytest.mark.parametrize("path", ["/item/1/draft", "/item/1/skip", "/sign-in", "/invitation/x"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_a_body_with_two_lengths_is_refused_before_it_is_read(url: str, path: str, kind: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"
    chunk = f"{MEBIBYTE:x}\r\n".encode() + b"x" * MEBIBYTE + b"\r\n"
    before = resident_bytes()
    answer = send_raw(url, head, [chunk] * 60)
    assert answer == b"" or answer.split()[1] in (b"400", b"411")
    assert resident_bytes() - before < 30 * MEBIBYTE


def test_bytes_are_counted_whatever_length_a_request_promises(
    app: FastAPI, database: LabelingDatabase
) -> None:
    """As behind a server that would let a body be longer than its Content-Length."""
    publish(database)
    ada = SignedInClient(app, database, "ada")
    place = f"/item/{ada.work()}"
    for path, cookie, code in ((f"{place}/draft", ada.cookies["alignloop"], 413), ("/sign-in", "", 413)):
        status, chunks = asyncio.run(_post(app, path, cookie, chunks=60))
        assert (status, chunks) == (code, 17), "sixteen chunks are the limit"
    for path in (f"{place}/draft", f"{place}/skip", f"{place}/rank", "/admin/invite", "/sign-out"):
        assert asyncio.run(_post(app, path, "", chunks=60)) == (303, 0), "a stranger's body is not read"


async def _post(app: FastAPI, path: str, cookie: str, chunks: int) -> tuple[int, int]:
    """The status of a request whose body is longer than promised, and the chunks of 64 KiB that were read."""
    kind = b"application/json" if path.endswith("draft") else b"application/x-www-form-urlencoded"
    headers = [(b"host", b"127.0.0.1:4300"), (b"content-length", b"5"), (b"content-type", kind)]
    headers.append((b"cookie", f"alignloop={cookie}".encode()))
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "root_path": ""}
    scope |= {"query_string": b"", "headers": headers, "scheme": "http", "http_version": "1.1"}
    scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 4300)}
    taken, status = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * (MEBIBYTE // 16), "more_body": taken < chunks}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status, taken


def test_a_body_that_comes_too_slowly_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_guard, "BODY_SECONDS", 0.3)
    kind = "Content-Type: application/x-www-form-urlencoded"
    answer = send_raw(url, f"POST /sign-in HTTP/1.1\r\n{kind}\r\nContent-Length: 100", [b"name=x"])
    assert answer.split()[1] == b"408"


@pytest.mark.parametrize("path", ["/invitation/nosuchsecret", "/sign-in"])
def test_the_pages_do_not_wait_for_the_passwords_of_strangers(
    url: str, database: LabelingDatabase, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    slow = PasswordHasher()  # as outside of tests
    monkeypatch.setattr(accounts, "_hasher", slow)
    monkeypatch.setattr(accounts, "_DUMMY_HASH", slow.hash("nobody"))
    link = accounts.invite(database, "labeler-ada", "labeler", "test")
    times, ends = list[float](), time.monotonic() + 4

    def flood(number: int) -> set[int]:
        codes = set[int]()
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            while time.monotonic() < ends:
                form = {"name": f"made-up-{number}", "password": "x" * 20}
                codes.add(client.post(path, data=form).status_code)
        return codes

    with ThreadPoolExecutor(45) as pool, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        floods = [pool.submit(flood, number) for number in range(45)]
        invited = client.post(f"/invitation/{link}", data={"password": "long enough indeed"})
        while not times or time.monotonic() < ends:
            began = time.monotonic()
            assert client.get("/health").status_code == 200
            times.append(time.monotonic() - began)
            time.sleep(0.05)
        codes = set.union(*(flood.result() for flood in floods))
    assert codes <= {403, 429}
    assert 429 in codes
    assert invited.status_code == 303, "who has a link signs in meanwhile"
    assert median(times) < 2.5, "where pages and passwords share their threads it is four seconds"
