"""Serves one model: a bounded queue of requests, whose responses are generated together on one thread."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.chat_template import Messages, escape_special_tokens
from alignloop.core.models import context_of, token_rules
from alignloop.core.tokens import encode, encode_prompt
from alignloop.errors import AlignloopError
from alignloop.serving.batch import Drawn, Finish, Row, RunningBatch, TokenLogprob
from alignloop.serving.sampling import Sampling
from alignloop.serving.text_stream import TextStream

PROMPT_TOKENS = 2048  # of new prompts in one step, padded: those that run must not wait long for them
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


@dataclass(frozen=True)
class EngineSettings:
    """Limits of an engine. `batch_tokens` counts rows times the longest they may become, prompts included."""

    max_running: int
    max_waiting: int
    batch_tokens: int


@dataclass(frozen=True)
class Piece:
    """What a step adds to a response: text, log-probabilities where they are asked for, and its end."""

    choice: int
    text: str
    tokens: int  # drawn since the last piece
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: Finish | None = None
    error: Exception | None = None


Post = Callable[[Callable[[], None]], Any]


def _at_once(call: Callable[[], None]) -> None:
    call()


@dataclass(eq=False)
class Generation:
    """One request: its prompt, how it is sampled, and where its pieces go.

    `sink` is called once for each piece, inside a call that `post` is given after each step: an event loop's
    `call_soon_threadsafe`, say. With `strip`, white space around a response is left out.
    """

    prompt: tuple[int, ...]
    sampling: Sampling
    sink: Callable[[Piece], None]
    choices: int = 1
    strip: bool = True
    post: Post = _at_once
    begun: float = field(default_factory=time.monotonic)
    is_cancelled: bool = False


@dataclass(eq=False)
class _Response:
    generation: Generation
    row: Row
    text: TextStream
    pending: list[TokenLogprob] = field(default_factory=list)
    unsent: int = 0


class Engine:
    """A model, its queue, and the thread that generates."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        settings: EngineSettings,
    ) -> None:
        self.tokenizer = tokenizer
        self.context = context_of(model)
        self.tokens_drawn = 0
        self._settings = settings
        self._end = token_rules(tokenizer, model).end
        self._batch = RunningBatch(model.eval(), token_rules(tokenizer, model))
        self._changed = threading.Condition()
        self._waiting: deque[_Response] = deque()
        self._running: dict[int, _Response] = {}
        self._is_closing = False
        self._encoding = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="generation", daemon=True)
        self._thread.start()

    def encode_dialogue(self, messages: Messages) -> tuple[int, ...]:
        """Token ids of a dialogue up to the assistant's next turn. Raises TokenizerError."""
        with self._encoding:
            return tuple(encode_prompt(self.tokenizer, messages))

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Token ids of a text, in which no special token counts as one."""
        with self._encoding:
            return tuple(encode(self.tokenizer, escape_special_tokens(self.tokenizer, text)))

    def submit(self, generation: Generation) -> None:
        """Put a request into the queue. Raises QueueFull or NotServing."""
        responses = [self._response(generation, choice) for choice in range(generation.choices)]
        with self._changed:
            if self._is_closing:
                raise NotServing("the server is ending; send the request again in a few seconds")
            free = self._settings.max_running - len(self._running)
            if len(self._waiting) + len(responses) > self._settings.max_waiting + max(free, 0):
                raise QueueFull(
                    f"{len(self._running)} responses are being generated and {len(self._waiting)} wait; send "
                    "the request again later"
                )
            self._waiting.extend(responses)
            self._changed.notify_all()

    def cancel(self, generation: Generation) -> None:
        """Stop a request: nothing more is generated for it, and its sink is not called any more."""
        with self._changed:
            generation.is_cancelled = True
            self._changed.notify_all()

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
            self._changed.notify_all()
        self._send([(r, _failure(r, NotServing("the server has ended"))) for r in rest], to_cancelled=True)
        self._thread.join()

    def _response(self, generation: Generation, choice: int) -> _Response:
        row = Row(generation.prompt, generation.sampling, choice)
        stop = generation.sampling.stop
        return _Response(generation, row, TextStream(self.tokenizer, stop, generation.strip))

    def _work(self) -> None:
        while True:
            with self._changed:
                self._drop_cancelled()
                while not (self._waiting or self._running):
                    if self._is_closing:
                        return
                    self._changed.wait()
                    self._drop_cancelled()
                new = self._admitted()
            try:
                pieces = self._pieces(self._step(new))
            except Exception as error:  # whatever a model raises: those who wait are told, others are served
                log.exception("generation failed")
                self._fail(error)
                continue
            self._send(pieces)

    def _drop_cancelled(self) -> None:
        """Forget the responses that nobody waits for; called with the lock."""
        if any(each.generation.is_cancelled for each in self._waiting):
            self._waiting = deque(each for each in self._waiting if not each.generation.is_cancelled)
        if any(each.generation.is_cancelled for each in self._running.values()):
            self._running = {
                key: each for key, each in self._running.items() if not each.generation.is_cancelled
            }
        if not self._running:
            self._batch.keep(())
        self._changed.notify_all()

    def _admitted(self) -> list[_Response]:
        """Take from the queue what fits into the batch now; called with the lock."""
        new: list[_Response] = []
        longest = max((each.row.longest for each in self._running.values()), default=0)
        prompts: set[tuple[int, ...]] = set()
        widest = 0
        while self._waiting and len(self._running) < self._settings.max_running:
            row = self._waiting[0].row
            longest, widest = max(longest, row.longest), max(widest, len(row.prompt))
            is_too_much = (len(self._running) + 1) * longest > self._settings.batch_tokens
            is_too_long = len(prompts | {row.prompt}) * widest > PROMPT_TOKENS
            if (is_too_much and self._running) or (is_too_long and new):
                break
            prompts.add(row.prompt)
            new.append(self._waiting.popleft())
            self._running[id(row)] = new[-1]
        return new

    def _step(self, new: Sequence[_Response]) -> list[Drawn]:
        added = {id(each.row) for each in new}
        self._batch.keep([each.row for key, each in self._running.items() if key not in added])
        drawn = self._batch.step() if self._batch.rows else []
        return drawn + (self._batch.add([each.row for each in new]) if new else [])

    def _pieces(self, drawn: Sequence[Drawn]) -> list[tuple[_Response, Piece]]:
        """What goes out after a step; finished responses leave the batch at the next one."""
        pieces, finished = [], []
        for each in drawn:
            response = self._running.get(id(each.row))
            if response is None:
                continue
            self.tokens_drawn += 1
            response.unsent += 1
            text, finish = "", None
            response.pending += each.prompt
            if each.is_end and each.logprob and response.generation.sampling.reads_prompt:
                response.pending.append(each.logprob)
            if not each.is_end:
                text = response.text.add(each.token)
                if each.logprob:
                    response.pending.append(each.logprob)
            if each.is_end or response.text.is_stopped:
                finish = "stop"
            elif each.is_last:
                finish = "length"
            if finish:
                text += response.text.finish()
                finished.append(id(each.row))
            if text or finish or response.pending:
                logprobs, tokens = tuple(response.pending), response.unsent
                response.pending, response.unsent = [], 0
                pieces.append((response, Piece(each.row.choice, text, tokens, logprobs, finish)))
        with self._changed:
            for key in finished:
                del self._running[key]
        return pieces

    def _fail(self, error: Exception) -> None:
        with self._changed:
            failed = list(self._running.values())
            self._running = {}
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        told = error if isinstance(error, AlignloopError) else GenerationFailed(f"the model failed: {cause}")
        self._send([(each, _failure(each, told)) for each in failed])

    def _send(self, pieces: Sequence[tuple[_Response, Piece]], to_cancelled: bool = False) -> None:
        """Give pieces to their sinks: those of one `post` in one call."""
        calls: dict[Post, list[tuple[_Response, Piece]]] = {}
        for each in pieces:
            calls.setdefault(each[0].generation.post, []).append(each)
        for post, group in calls.items():
            try:
                post(partial(_call_sinks, group, to_cancelled))
            except Exception:  # an event loop that has ended: nobody waits for these
                log.exception("responses cannot be delivered")
                for response, _ in group:
                    response.generation.is_cancelled = True


def _call_sinks(pieces: Sequence[tuple[_Response, Piece]], to_cancelled: bool) -> None:
    for response, piece in pieces:
        if to_cancelled or not response.generation.is_cancelled:
            response.generation.sink(piece)


def _failure(response: _Response, error: Exception) -> Piece:
    return Piece(response.row.choice, "", response.unsent, error=error)
