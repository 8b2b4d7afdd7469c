"""A request's responses while they are generated: pieces on the event loop, and their end in any case."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from alignloop.serving.engine import Engine, Generation, Piece
from alignloop.serving.model_pool import Lease, ModelPool
from alignloop.serving.sampling import Sampling
from alignloop.serving.served_version import ServedVersion

T = TypeVar("T")
Prompts = Sequence[tuple[tuple[int, ...], Sampling]]


class ClientGone(Exception):
    """The client has closed its connection, so nobody waits for the response."""


class Responses(Protocol):
    """A request's responses: `pieces` gives them out, `end` stops them."""

    @property
    def version(self) -> ServedVersion: ...

    @property
    def tokenizer(self) -> Any: ...

    @property
    def count(self) -> int: ...

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def drawn_tokens(self) -> int: ...

    def pieces(self) -> AsyncIterator[list[Piece]]: ...

    def end(self) -> None: ...


class LiveGeneration:
    """Responses being generated: `pieces` gives them out, `end` stops them and frees the model."""

    def __init__(self, lease: Lease, prompts: Prompts, choices: int, strip: bool) -> None:
        self.version: ServedVersion = lease.version
        self.tokenizer = lease.engine.tokenizer
        self.prompt_tokens = sum(len(prompt) for prompt, _ in prompts)
        self.drawn_tokens = 0
        self.count = len(prompts) * choices
        self._lease: Lease | None = lease
        self._open = self.count
        self._queue: asyncio.Queue[Piece] = asyncio.Queue()
        post = asyncio.get_running_loop().call_soon_threadsafe
        self._generations = [
            Generation(prompt, sampling, self._sink(place * choices), choices=choices, strip=strip, post=post)
            for place, (prompt, sampling) in enumerate(prompts)
        ]
        try:
            for generation in self._generations:
                lease.engine.submit(generation)
        except BaseException:
            self.end()
            raise

    def _sink(self, first: int) -> Callable[[Piece], None]:
        return lambda piece: self._queue.put_nowait(replace(piece, choice=first + piece.choice))

    async def pieces(self) -> AsyncIterator[list[Piece]]:
        """All pieces in order, as many at a time as have come. Raises what the engine failed with."""
        while self._open:
            found = [await self._queue.get()]
            while not self._queue.empty():
                found.append(self._queue.get_nowait())
            for piece in found:
                if piece.error:
                    raise piece.error
                self.drawn_tokens += piece.tokens
                self._open -= piece.finish is not None
            yield _joined(found)

    def end(self) -> None:
        """Stop what still runs, and let go of the model; a second call does nothing."""
        if self._lease is None:
            return
        for generation in self._generations:
            self._lease.engine.cancel(generation)
        self._lease.end()
        self._lease = None


class WrappedResponses:
    """Responses whose pieces are looked at on their way."""

    def __init__(self, live: Responses) -> None:
        self._live = live
        self.version, self.tokenizer = live.version, live.tokenizer
        self.prompt_tokens, self.count = live.prompt_tokens, live.count
        self.end = live.end

    @property
    def drawn_tokens(self) -> int:
        """As of the responses."""
        return self._live.drawn_tokens


async def begin(
    pool: ModelPool,
    model: str,
    plan: Callable[[Engine], Prompts],
    *,
    choices: int = 1,
    strip: bool = True,
) -> LiveGeneration:
    """Start the responses to the prompts that `plan` makes with a model's engine.

    Raises ModelNotFound, ModelsInUse, QueueFull, NotServing, and what `plan` raises.
    """
    taking = asyncio.ensure_future(run_in_threadpool(pool.lease, model))
    try:
        lease = await asyncio.shield(taking)
    except asyncio.CancelledError:  # the client went while the weights were loaded
        taking.add_done_callback(_let_go)
        raise
    try:
        return LiveGeneration(lease, await run_in_threadpool(plan, lease.engine), choices, strip)
    except BaseException:
        lease.end()
        raise


def _let_go(taking: "asyncio.Future[Lease]") -> None:
    if not taking.cancelled() and not taking.exception():
        taking.result().end()


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces, those of one choice together: a slow reader gets few and large ones."""
    joined: dict[int, Piece] = {}
    for piece in pieces:
        before = joined.get(piece.choice)
        joined[piece.choice] = (
            piece
            if before is None
            else replace(
                piece,
                text=before.text + piece.text,
                tokens=before.tokens + piece.tokens,
                logprobs=before.logprobs + piece.logprobs,
            )
        )
    return list(joined.values())


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of work, which is cancelled when the client closes its connection: ClientGone."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        for each in (task, gone):
            each.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await each


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """Server-sent events; `on_end` is called when all are sent or the client has gone."""

    def __init__(self, content: AsyncIterator[bytes], on_end: Callable[[], Any], **headers: str) -> None:
        super().__init__(
            content,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **headers},
            media_type="text/event-stream",
        )
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()
