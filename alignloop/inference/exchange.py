"""One request and its reply over HTTP: limits of time and size, and which statuses are worth another try."""

import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

MAX_TRIES = 4
RETRIED_STATUSES = {408, 409, 429, 500, 502, 503, 504}
MAX_REPLY = 2**26  # bytes; a response of 100,000 tokens is a tenth of it


class Reply(NamedTuple):
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def exchange(client: httpx.Client, method: str, url: str, body: Any, timeout_s: float) -> Reply:
    """Send a request and read the whole reply.

    httpx limits the wait for each piece; here the whole reply is limited as well. Raises
    httpx.HTTPError, of which TimeoutException is a reply that is not complete in time.
    """
    deadline, content = time.monotonic() + timeout_s, bytearray()
    with client.stream(method, url, json=body) as reply:
        for piece in reply.iter_bytes():
            content += piece
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the reply comes too slowly")
            if len(content) > MAX_REPLY:
                raise httpx.ReadError(f"the reply is longer than {MAX_REPLY:,} bytes")
        return Reply(reply.status_code, reply.headers, bytes(content))


def shown(content: bytes) -> str:
    """The beginning of a reply for a message, in one line, without what a terminal would obey."""
    return printable(" ".join(content[:400].decode(errors="replace").split()))[:300] or "no text"


def printable(text: str) -> str:
    """The text with a `?` for every character that is not printable."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def authorization(key_variable: str) -> dict[str, str]:
    """The header with the key that an environment variable holds; none where it is unset.

    Raises ValueError for a key that is no header's value: httpx would quote it in its message.
    """
    key = os.environ.get(key_variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError(f"{key_variable} in the environment must be a key of printable ASCII characters")
    return {"Authorization": f"Bearer {key}"} if key else {}
