"""The engine that lets a vLLM server draw: each response is one stream of tokens from it.

The queue, seeds, stop texts and the text of tokens stay here. `max_running` streams are open at a time. A
request that is cancelled closes its stream, and the server stops drawing.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, aclosing, suppress
from functools import partial

from transformers import PreTrainedTokenizerBase

from alignloop.core.tokens import TokenRules
from alignloop.errors import AlignloopError
from alignloop.inference.token_stream import (
    Chunk,
    ServerAway,
    StreamedToken,
    StreamPlan,
    TokenStreams,
    WrongReply,
)
from alignloop.seeds import draws
from alignloop.serving.batch import Drawn, TokenLogprob
from alignloop.serving.engine import (
    Engine,
    EngineSettings,
    GenerationFailed,
    Response,
    ServerRefused,
    ServerUnavailable,
)
from alignloop.serving.generation import Piece

log = logging.getLogger(__name__)


class VllmEngine(Engine):
    """A vLLM server's model, its queue, and the thread whose event loop reads the streams.

    `owned` is closed with the engine; `died` says why the server is gone, None while it runs.
    """

    def __init__(
        self,
        streams: TokenStreams,
        tokenizer: PreTrainedTokenizerBase,
        context: int,
        settings: EngineSettings,
        *,
        rules: TokenRules,
        owned: ExitStack,
        died: Callable[[], str | None],
    ) -> None:
        super().__init__(tokenizer, context, settings)
        self._rules = rules
        self._owned, self._died = owned, died
        self._tasks: dict[int, asyncio.Task[None]] = {}  # by the id of the row
        self._loop = asyncio.new_event_loop()
        self._streams = streams
        self._thread = threading.Thread(target=self._work, name="generation", daemon=True)
        self._thread.start()

    @property
    def is_broken(self) -> bool:
        """Whether the server is gone."""
        return self._died() is not None

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nothing is served any more
            self._loop.call_soon_threadsafe(self._look)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._owned.close()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = list(self._tasks.values())
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._streams.close())
        self._loop.close()

    def _look(self) -> None:
        """Close the streams that nobody waits for, and open those that have a place now."""
        with self._changed:
            self._without_cancelled()
            for key, each in list(self._running.items()):
                if each.generation.is_cancelled and not self._tasks[key].cancelling():
                    self._tasks[key].cancel()
            while self._waiting and len(self._running) < self._settings.max_running:
                response = self._waiting.popleft()
                key = id(response.row)
                self._running[key] = response
                task = self._tasks[key] = self._loop.create_task(self._serve(response))
                task.add_done_callback(partial(self._gone, key))
            self._changed.notify_all()

    async def _serve(self, response: Response) -> None:
        """One response from its first token to its end."""
        try:
            piece = await self._drawn(response)
        except ServerAway as error:
            log.error("the inference server: %s", self._died() or error)
            words = "the inference server does not respond; send the request again later"
            piece = response.failure(ServerUnavailable(words))
        except WrongReply as error:
            log.error("the inference server: %s", error)
            piece = response.failure(ServerRefused(f"the inference server's reply is wrong: {error}"))
        except Exception as error:  # whatever goes wrong: who waits is told, others are served
            log.exception("generation failed")
            known = isinstance(error, AlignloopError)
            piece = response.failure(error if known else GenerationFailed("the engine failed; see its log"))
        if task := asyncio.current_task():
            self._gone(id(response.row), task)
        self._send([(response, piece)])

    def _gone(self, key: int, task: asyncio.Task[None]) -> None:
        """Give the place of a response away, once; also of one that was cancelled before it began."""
        with self._changed:
            if self._tasks.get(key) is not task:
                return
            del self._running[key], self._tasks[key]
        self._look()

    async def _drawn(self, response: Response) -> Piece:
        """Send the pieces of a response; returns the last one."""
        row, sampling = response.row, response.row.sampling
        plan = StreamPlan(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=int(draws(sampling.seed, "serving", str(row.choice)).integers(2**63)),
            top_logprobs=sampling.top_logprobs,
            reads_prompt=sampling.reads_prompt,
        )
        async with aclosing(self._streams.draw(row.prompt, plan, self._rules)) as chunks:
            async for chunk in chunks:
                pieces = []
                for drawn in self._read(response, chunk):
                    if piece := response.take(drawn):
                        pieces.append((response, piece))
                        if piece.finish:
                            self._send(pieces[:-1])
                            return piece
                self._send(pieces)
        raise WrongReply("the response has no end")

    def _read(self, response: Response, chunk: Chunk) -> Iterator[Drawn]:
        row, prompt = response.row, tuple(_told(token) for token in chunk.prompt)
        for each in chunk.tokens:
            row.drawn += 1
            self.tokens_drawn += 1
            told = _told(each) if each.logprob is not None else None
            yield Drawn(row, each.token, each.token == self._rules.end, told, prompt)
            prompt = ()


def _told(token: StreamedToken) -> TokenLogprob:
    return TokenLogprob(token.token, token.logprob, token.top)
