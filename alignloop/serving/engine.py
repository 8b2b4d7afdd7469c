"""What serves one model: a bounded queue of requests, and the pieces of their responses on the way back.

Who draws the tokens is another file: `local_engine.py` in this process, `vllm_engine.py` a vLLM server.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from transformers import PreTrainedTokenizerBase

from alignloop.core.chat_template import Messages, escape_special_tokens
from alignloop.core.tokens import encode, encode_prompt
from alignloop.errors import AlignloopError
from alignloop.serving.batch import Drawn, Row, TokenLogprob
from alignloop.serving.generation import Generation, Piece, Post
from alignloop.serving.served_tools import ServedTools
from alignloop.serving.text_stream import TextStream

RETRY_SECONDS = 1
log = logging.getLogger(__name__)


class ServingError(AlignloopError):
    """A request cannot be served."""


class QueueFull(ServingError):
    """Too many requests wait; the request can be sent again after `RETRY_SECONDS`."""


class NotServing(ServingError):
    """The server is about to end and takes no more requests."""


class GenerationFailed(ServingError):
    """The model failed while it generated; the message has the cause."""


class ServerUnavailable(ServingError):
    """The inference server is away, busy or too slow; the request can be sent again later."""


class ServerRefused(ServingError):
    """The inference server gave something else than what was asked for."""


@dataclass(frozen=True)
class EngineSettings:
    """Limits of an engine. `batch_tokens` counts rows times the longest they may become, prompts included."""

    max_running: int
    max_waiting: int
    batch_tokens: int


@dataclass(eq=False)
class Response:
    """One response of a request, while its tokens come."""

    generation: Generation
    row: Row
    text: TextStream
    pending: list[TokenLogprob] = field(default_factory=list)
    unsent: list[int] = field(default_factory=list)  # tokens

    def take(self, drawn: Drawn) -> Piece | None:
        """What goes out after one more token; None: nothing yet."""
        self.unsent.append(drawn.token)
        text, finish = "", None
        self.pending += drawn.prompt
        if drawn.is_end and drawn.logprob and self.generation.sampling.reads_prompt:
            self.pending.append(drawn.logprob)
        if not drawn.is_end:
            text = self.text.add(drawn.token)
            if drawn.logprob:
                self.pending.append(drawn.logprob)
        if drawn.is_end or self.text.is_stopped:
            finish = "stop"
        elif drawn.is_last:
            finish = "length"
        if finish:
            text += self.text.finish()
        if not (text or finish or self.pending):
            return None
        logprobs, ids = tuple(self.pending), tuple(self.unsent)
        self.pending, self.unsent = [], []
        return Piece(self.row.choice, text, len(ids), logprobs, finish, ids=ids)

    def failure(self, error: Exception) -> Piece:
        """The end of a response that failed."""
        return Piece(self.row.choice, "", len(self.unsent), error=error)


class Engine(ABC):
    """A model and its queue."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, context: int, settings: EngineSettings) -> None:
        self.tokenizer, self.context = tokenizer, context
        self.tools: ServedTools | None = None  # what responses may call; they end with the engine
        self.tokens_drawn = 0
        self._settings = settings
        self._changed = threading.Condition()
        self._waiting: deque[Response] = deque()
        self._running: dict[int, Response] = {}  # by the id of the row
        self._is_closing = False
        self._encoding = threading.Lock()

    @property
    def is_broken(self) -> bool:
        """Whether no request can be served any more: the weights must be loaded again."""
        return False

    @abstractmethod
    def _wake(self) -> None:
        """Look at the queue again; called with the lock."""

    @abstractmethod
    def _end(self) -> None:
        """Let go of everything; the queue is empty."""

    def encode_dialogue(self, messages: Messages) -> tuple[int, ...]:
        """Token ids of a dialogue up to the assistant's next turn. Raises TokenizerError."""
        with self._encoding:
            return tuple(encode_prompt(self.tokenizer, messages))

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Token ids of a text, in which no special token counts as one."""
        with self._encoding:
            return tuple(encode(self.tokenizer, escape_special_tokens(self.tokenizer, text)))

    def submit(self, generation: Generation, is_begun: bool = False) -> None:
        """Put a request into the queue. Raises QueueFull or NotServing.

        With `is_begun` it is a later turn of a response: it waits before all others, and is never too many.
        """
        responses = [self._response(generation, choice) for choice in range(generation.choices)]
        with self._changed:
            if self._is_closing:
                raise NotServing("the server is ending; send the request again in a few seconds")
            free = self._settings.max_running - len(self._running)
            most = self._settings.max_waiting + max(free, 0)
            if len(self._waiting) + len(responses) > most and not is_begun:
                raise QueueFull(
                    f"{len(self._running)} responses are being generated and {len(self._waiting)} wait; send "
                    "the request again later"
                )
            if is_begun:
                self._waiting.extendleft(reversed(responses))
            else:
                self._waiting.extend(responses)
            self._wake()

    def cancel(self, generation: Generation) -> None:
        """Stop a request: nothing more is generated for it, and its sink is not called any more."""
        with self._changed:
            generation.is_cancelled = True
            self._wake()

    @property
    def load(self) -> tuple[int, int]:
        """How many responses run and how many wait."""
        return len(self._running), len(self._waiting)

    def close(self, patience: float = 0.0) -> None:
        """Take no more requests; end those that are there within `patience` seconds, then fail the rest."""
        deadline = time.monotonic() + patience
        with self._changed:
            self._is_closing = True
            while (self._running or self._waiting) and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            rest = [*self._running.values(), *self._waiting]
            for response in rest:
                response.generation.is_cancelled = True
            self._waiting.clear()
            self._wake()
        self._send([(r, r.failure(NotServing("the server has ended"))) for r in rest], to_cancelled=True)
        self._end()
        if self.tools:
            self.tools.close()

    def _response(self, generation: Generation, choice: int) -> Response:
        row = Row(generation.prompt, generation.sampling, choice)
        stop = generation.sampling.stop
        return Response(generation, row, TextStream(self.tokenizer, stop, generation.strip))

    def _without_cancelled(self) -> None:
        """Take out of the queue what nobody waits for; called with the lock."""
        if any(each.generation.is_cancelled for each in self._waiting):
            self._waiting = deque(each for each in self._waiting if not each.generation.is_cancelled)

    def _send(self, pieces: Sequence[tuple[Response, Piece]], to_cancelled: bool = False) -> None:
        """Give pieces to their sinks: those of one `post` in one call."""
        calls: dict[Post, list[tuple[Response, Piece]]] = {}
        for each in pieces:
            calls.setdefault(each[0].generation.post, []).append(each)
        for post, group in calls.items():
            try:
                post(partial(_call_sinks, group, to_cancelled))
            except Exception:  # an event loop that has ended: nobody waits for these
                log.exception("responses cannot be delivered")
                for response, _ in group:
                    response.generation.is_cancelled = True


def _call_sinks(pieces: Sequence[tuple[Response, Piece]], to_cancelled: bool) -> None:
    for response, piece in pieces:
        if to_cancelled or not response.generation.is_cancelled:
            response.generation.sink(piece)
