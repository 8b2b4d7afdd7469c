"""A simulated labeler: a browser without JavaScript that signs in, rates, ranks and measures each page."""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

AGAIN = 0.25  # seconds until a request is sent again that found no server


@dataclass
class Tally:
    """Measurements: seconds of pages by kind, acknowledged rankings, and requests without a server."""

    pages: dict[str, list[float]] = field(default_factory=dict)
    acknowledged: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    retried: int = 0
    failed: Counter[str] = field(default_factory=Counter)


class Browser:
    """A labeler's browser with its connection and cookie."""

    def __init__(self, port: int, tally: Tally) -> None:
        self._port, self._tally = port, tally
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._cookie = ""

    async def page(self, path: str, form: Mapping[str, str] | None = None) -> tuple[str, str, bool]:
        """Request a page; returns the final path, its text, and whether the first attempt succeeded."""
        smooth = True
        while True:
            kept = self._streams is not None
            try:
                status, headers, body = await self._request(path, form)
            except (OSError, asyncio.IncompleteReadError):
                self.close()
                # else the server may only have closed an idle connection
                if not kept:
                    smooth = False
                    self._tally.retried += 1
                    await asyncio.sleep(AGAIN)
                continue
            if status == 303:
                path, form = headers["location"], None
                continue
            if status != 200:
                problem = re.search(r'class="problem"[^>]*>([^<]*)', body)
                self._tally.failed[
                    f"{status} {re.sub('[0-9]+', 'N', path)}: {problem[1] if problem else body[:100]}"
                ] += 1
            return path, body, smooth

    def close(self) -> None:
        """Close the connection."""
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
    """Sign in by the personal link, and rank until the time is over or nothing is left."""
    chance = random.Random(name)
    await asyncio.sleep(chance.uniform(0, think))
    key, form = "", {}
    kind, path = "signed in", f"/invitation/{secret}"
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
        if kind == "signed in":
            key, form = _value(text, "key"), None
            kind, path = "next item", "/work/rank"
            continue
        number = re.match(r"/item/([0-9]+)", place)
        if not number:
            break  # no items are left for this labeler
        item = f"/item/{number[1]}"
        shared = {"key": key, "active": f"{chance.uniform(1, 90):.1f}"}
        if 'id="rate"' in text:
            rated = {
                "place": _value(text, "place"),
                "number": _value(text, "number"),
                "overall": str(chance.randint(1, 7)),
            }
            kind, path = "rating sent", f"{item}/rate"
            form = {**shared, **rated}
        else:
            kind, path = "ranking sent", f"{item}/rank"
            # gold items have other numbers of responses
            offered = re.findall(r'name="(rank-[A-I])" value="([1-9])"', text)
            form = shared | {
                field: chance.choice([value for other, value in offered if other == field])
                for field, _ in offered
            }
    browser.close()


def _value(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, f"no field {name} in {text[:400]}"
    return found[1]
