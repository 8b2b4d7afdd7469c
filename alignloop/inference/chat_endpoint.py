"""Chat completions of an OpenAI-compatible endpoint: retries with back-off, and messages that say what helps.

A busy or broken server is asked again, and so is one whose reply `read` rejects. `Retry-After` is obeyed. The
key is read from the environment and is part of no message.
"""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from alignloop.errors import AlignloopError
from alignloop.inference import usage
from alignloop.inference.exchange import MAX_TRIES, RETRIED_STATUSES, Reply, authorization, exchange, shown

PATH = "/chat/completions"
BACK_OFF_S = 0.5  # before the second try, twice as long before each further one
INVALID_STATUSES = {400, 413, 422}  # of a request, such as one that exceeds the context
MAX_WAIT_S = 300.0  # that a server may ask for by Retry-After
OBJECT = re.compile(r"\{.*\}", re.DOTALL)  # in the text of a reply
T = TypeVar("T")


class InvalidReply(ValueError):
    """A reply that is a chat completion, but not what was asked for; another try may give it."""


@dataclass(frozen=True)
class EndpointWords:
    """What the messages of an endpoint say, and the class of its errors.

    `rejected` is the class for a request that the server finds invalid: others may not be. `busy` is what
    helps against status 429.
    """

    settings: str  # such as label.model
    key_variable: str
    kept: str  # what an interrupted run keeps
    error: type[AlignloopError]
    rejected: type[AlignloopError] | None = None
    busy: str = "send fewer at a time"


class Watch:
    """What somebody who counts is told of each request; this one does not count."""

    def sent(self) -> None:
        """A request is about to be sent; may raise to prevent it."""

    def declined(self) -> None:
        """The server replied with another status than 200: it generated nothing."""


class ChatEndpoint:
    """An OpenAI-compatible endpoint at `url`, asked at most `at_once` times at a time."""

    def __init__(self, url: str, words: EndpointWords, *, at_once: int, timeout_s: float) -> None:
        self.url = f"{url.rstrip('/')}{PATH}"
        self._words, self._timeout_s = words, timeout_s
        self._given_up = threading.Event()
        try:
            headers = authorization(words.key_variable)
        except ValueError as error:
            raise words.error(str(error)) from None
        self._client = httpx.Client(
            headers=headers,
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=at_once),
        )

    def __enter__(self) -> "ChatEndpoint":
        return self

    def __exit__(self, *error: object) -> None:
        self.give_up()
        self._client.close()

    def give_up(self) -> None:
        """Let nobody wait for a further try."""
        self._given_up.set()

    def ask(
        self,
        body: Callable[[int], Mapping[str, Any]],
        read: Callable[[Mapping[str, Any]], T],
        doing: str,
        watch: Watch | None = None,
    ) -> T:
        """What `read` makes of the reply to `body(attempt)`. `read` raises InvalidReply for another try.

        `doing` is what an invalid reply failed to do, such as "gave no ranking of p7". Raises the error of
        `words`.
        """
        watch = watch or Watch()
        problem, detail = "", ""
        wait_s, tries = 0.0, 0
        for attempt in range(MAX_TRIES):
            if attempt and self._given_up.wait(wait_s):
                break
            wait_s = BACK_OFF_S * 2**attempt
            watch.sent()
            usage.count_call()
            tries += 1
            try:
                reply = exchange(self._client, "POST", self.url, body(attempt), self._timeout_s)
            except httpx.TimeoutException:
                problem, detail = f"did not answer within {self._timeout_s:g} s", ""
                continue
            except httpx.HTTPError as error:
                problem, detail = "cannot be reached", f": {error or type(error).__name__}"
                continue
            if reply.status != 200:
                watch.declined()
            if reply.status in RETRIED_STATUSES:
                problem, detail = f"returned status {reply.status}", f": {shown(reply.content)}"
                if reply.status == 429:
                    problem = f"has too many requests (status 429): {self._words.busy}"
                wait_s = self._wait_of(reply, wait_s)
                continue
            completion = self._completion(reply)
            usage.count_tokens(completion)
            try:
                return read(completion)
            except InvalidReply as error:
                problem, detail = doing, f": {error}"
        raise self._words.error(
            f"{self.url}: {problem}, {tries} times{detail}; start it or correct {self._words.settings}, and "
            f"run again: {self._words.kept}"
        )

    def _wait_of(self, reply: Reply, least: float) -> float:
        """The seconds until the next try, as the server asks for."""
        asked = retry_after(reply.headers.get("retry-after"))
        if asked > MAX_WAIT_S:
            raise self._words.error(
                f"{self.url}: returned status {reply.status} and asks to wait {asked:,.0f} s; run again "
                f"then: {self._words.kept}"
            )
        return max(asked, least)

    def _completion(self, reply: Reply) -> Mapping[str, Any]:
        """The reply as a chat completion, with at least one choice that has a message."""
        words = self._words
        if reply.status != 200:
            kind = words.rejected if words.rejected and reply.status in INVALID_STATUSES else words.error
            raise kind(
                f"{self.url}: returned status {reply.status}: {shown(reply.content)}; check {words.settings} "
                f"and {words.key_variable}"
            )
        try:
            completion = json.loads(reply.content)
        except (ValueError, RecursionError):
            what = "a web page (HTML)" if b"<html" in reply.content[:2000].lower() else "no JSON"
            raise words.error(
                f"{self.url}: the reply is {what}: {shown(reply.content)}; is {words.settings} the address "
                f"of an OpenAI-compatible server, up to and with /v1? Then run again: {words.kept}"
            ) from None
        try:
            message = completion["choices"][0]["message"]
            if isinstance(message, dict):
                return completion
        except (KeyError, IndexError, TypeError):
            pass
        raise words.error(
            f"{self.url}: the reply is no chat completion (choices[0].message): {shown(reply.content)}; is "
            f"{words.settings} the address of an OpenAI-compatible server, up to and with /v1?"
        )


def boolean_in(
    completion: Mapping[str, Any], field: str, called: str, form: re.Pattern[str] = OBJECT
) -> bool:
    """The field of the JSON object that `form` finds in a reply's text.

    Raises InvalidReply, which calls the field `called`, if there is no such object or no boolean in it.
    """
    text = str(completion["choices"][0]["message"].get("content"))
    match = form.search(text)
    try:
        found = json.loads(match[0])[field] if match else None
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, bool):
        raise InvalidReply(f"no {called} in {text[:80]!r}")
    return found


def retry_after(header: str | None) -> float:
    """The seconds that a Retry-After header (seconds, or a date) asks to wait; 0 where it says nothing."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
