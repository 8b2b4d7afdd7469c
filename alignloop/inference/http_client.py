"""JSON over HTTP to an inference server: limits of time, retries, and messages that say what was being done.

A request is sent again, unchanged, where the server is busy, fails or drops the connection. One that has no
complete reply within its time is not: a server that hangs would be waited for again and again. The key is
read from the environment and is part of no message.
"""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from alignloop.errors import AlignloopError
from alignloop.inference.exchange import MAX_TRIES, RETRIED_STATUSES, authorization, exchange, shown

KEY_VARIABLE = "ALIGNLOOP_SAMPLER_KEY"
BACK_OFF_S = 0.5  # before the second try, twice as long before each further one
LOG = "look at the server's log, restart it or correct {setting}"
T = TypeVar("T")
R = TypeVar("R")


class SamplerError(AlignloopError):
    """The inference server cannot be reached, or what it does is not what was asked for."""


@dataclass(frozen=True)
class Server:
    """What messages call a server: its address's key in params.yaml, and what to do where a path is missing.

    `key_variable` is the environment's variable that holds its API key.
    """

    setting: str
    key_variable: str
    what: str
    missing: str


SAMPLER = Server(
    "rollout.url",
    KEY_VARIABLE,
    "vLLM",
    "start vLLM with VLLM_SERVER_DEV_MODE=1 in its environment, on a closed network only",
)


class HttpClient:
    """Asks the server at `url`, at most `max_concurrency` requests at a time.

    `died` says why the server is gone, where this process started it; None: it runs, or is not ours.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        max_concurrency: int,
        died: Callable[[], str | None] = lambda: None,
        server: Server = SAMPLER,
    ) -> None:
        self.url, self._server = url, server
        self._log = LOG.format(setting=server.setting)
        self._timeout_s, self._max_concurrency = timeout_s, max_concurrency
        self._died = died
        self._given_up = threading.Event()
        self._client = httpx.Client(
            headers=_header(server.key_variable),
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=max_concurrency),
        )

    def close(self) -> None:
        self._given_up.set()
        self._client.close()

    def get(self, path: str, doing: str) -> Any:
        return self._ask("GET", path, None, doing)

    def post(self, path: str, body: Any, doing: str, remedy: str | None = None) -> Any:
        """`remedy` is for a reply that says no."""
        return self._ask("POST", path, body, doing, remedy)

    def each(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """The results of `work` in the items' order; the first failure ends all of it."""
        pool = ThreadPoolExecutor(self._max_concurrency, "sampler")
        try:
            futures: list[Future[R]] = [pool.submit(work, item) for item in items]
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done() and (error := future.exception()):
                    raise error
            return [future.result() for future in futures]
        except BaseException:
            self._given_up.set()  # nobody waits for a further try
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def refusal(self, doing: str, problem: str, remedy: str) -> SamplerError:
        """The error that says where, what was being done, what went wrong, and what helps."""
        return SamplerError(f"{self.url}: {doing}: {problem}; {remedy}")

    def _ask(self, method: str, path: str, body: Any, doing: str, remedy: str | None = None) -> Any:
        """The reply's JSON. Raises SamplerError."""
        problem, said_no = "", False
        remedy = remedy or self._log
        for attempt in range(MAX_TRIES):
            if attempt and self._given_up.wait(BACK_OFF_S * 2 ** (attempt - 1)):
                break
            try:
                status, _, content = exchange(
                    self._client, method, f"{self.url}{path}", body, self._timeout_s
                )
            except httpx.TimeoutException:
                raise self._gone(doing, f"no complete reply within {self._timeout_s:g} s") from None
            except httpx.HTTPError as error:
                said_no = False
                problem = f"the connection failed ({error or type(error).__name__})"
                continue
            if status in RETRIED_STATUSES:
                problem, said_no = f"status {status}: {shown(content)}", True
                continue
            if status in (401, 403):
                key = f"set {self._server.key_variable} to the server's API key"
                raise self.refusal(doing, f"status {status}", key)
            if status == 404:
                raise self.refusal(
                    doing,
                    f"status 404: it has no {path or 'such address'}",
                    f"{self._server.missing}, or correct {self._server.setting}",
                )
            if status != 200:
                raise self.refusal(doing, f"status {status}: {shown(content)}", remedy)
            try:
                return json.loads(content) if content else None
            except ValueError:
                raise self.refusal(
                    doing,
                    f"the reply is no JSON: {shown(content)}",
                    f"is {self._server.setting} the address of {self._server.what}?",
                ) from None
        raise self._gone(doing, f"{problem}, {MAX_TRIES} times", remedy if said_no else self._log)

    def _gone(self, doing: str, problem: str, remedy: str | None = None) -> SamplerError:
        if died := self._died():
            return self.refusal(doing, died, "look at its log, and run again: finished steps are kept")
        return self.refusal(doing, problem, f"{remedy or self._log}, and run again: finished steps are kept")


def _header(key_variable: str) -> dict[str, str]:
    try:
        return authorization(key_variable)
    except ValueError as error:
        raise SamplerError(str(error)) from None
