"""A request's responses while they are generated: pieces on the event loop, and their end in any case."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from alignloop.serving.engine import Engine
from alignloop.serving.generation import Generation, Piece
from alignloop.serving.model_pool import Lease, ModelPool
from alignloop.serving.sampling import Sampling
from alignloop.serving.served_tools import CallingResponse
from alignloop.serving.served_version import ServedVersion

T = TypeVar("T")


class PlannedPrompt(NamedTuple):
    """A prompt's tokens, how responses to it are sampled, and whether they may call the engine's tools."""

    ids: tuple[int, ...]
    sampling: Sampling
    may_call: bool = False


Prompts = Sequence[PlannedPrompt]


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
        self.prompt_tokens = sum(len(each.ids) for each in prompts)
        self.drawn_tokens = 0
        self.count = len(prompts) * choices
        self._lease: Lease | None = lease
        self._open = self.count
        self._queue: asyncio.Queue[Piece] = asyncio.Queue()
        self._calling: dict[int, CallingResponse] = {}  # by choice, those that may call tools
        self._asking: set[asyncio.Task[None]] = set()
        post = asyncio.get_running_loop().call_soon_threadsafe
        self._plan: dict[str, Any] = {"strip": strip, "post": post}
        self._generations = [
            Generation(each.ids, each.sampling, self._sink(place * choices), choices=choices, **self._plan)
            for place, each in enumerate(prompts)
        ]
        tools, context = lease.engine.tools, lease.engine.context
        for place, each in enumerate(prompts):
            for choice in range(place * choices, (place + 1) * choices):
                if tools and each.may_call:
                    response = CallingResponse(tools, each.ids, each.sampling, context=context, choice=choice)
                    self._calling[choice] = response
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
            shown: list[Piece] = []
            for piece in found:
                if piece.error:
                    raise piece.error
                self.drawn_tokens += piece.tokens
                shown.append(self._taken(piece))
                self._open -= shown[-1].finish is not None
            yield _joined(shown)

    def _taken(self, piece: Piece) -> Piece:
        """What is shown of an engine's piece; where it ends a call, a tool is asked."""
        response = self._calling.get(piece.choice)
        if response is None or not piece.ids:  # a piece that `_ask` has put there has none
            return piece
        shown, call = response.take(piece)
        if call is not None:
            task = asyncio.ensure_future(self._ask(response, call))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return shown

    async def _ask(self, response: CallingResponse, call: list[int]) -> None:
        """Let a tool answer and go on with the response, while the engine serves others."""
        lease = self._lease
        try:
            if lease is None or lease.engine.tools is None:
                return
            reply = await asyncio.wrap_future(lease.engine.tools.answer(call))
            pieces, next = response.answered(reply)
            for piece in pieces:
                self._queue.put_nowait(piece)
            if next:
                generation = Generation(*next, self._sink(response.choice), **self._plan)
                self._generations.append(generation)
                lease.engine.submit(generation, is_begun=True)
        except Exception as error:
            self._queue.put_nowait(Piece(response.choice, "", 0, error=error))

    def end(self) -> None:
        """Stop what still runs, and let go of the model; a second call does nothing."""
        if self._lease is None:
            return
        for task in self._asking:
            task.cancel()
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
    """The pieces, those of one choice together: a slow reader gets few and large ones.

    Pieces with news stay apart, for they end what was said before.
    """
    joined: list[Piece] = []
    places: dict[int, int] = {}
    for piece in pieces:
        place = places.get(piece.choice)
        if piece.news:
            joined.append(piece)
            places.pop(piece.choice, None)
        elif place is None:
            places[piece.choice] = len(joined)
            joined.append(piece)
        else:
            joined[place] = added(joined[place], piece)
    return joined


def added(before: Piece, piece: Piece) -> Piece:
    """Two pieces of one turn as one."""
    return replace(
        piece,
        text=before.text + piece.text,
        tokens=before.tokens + piece.tokens,
        logprobs=before.logprobs + piece.logprobs,
    )


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
