"""A response of the chat page while it is generated: streamed to the page, and saved whatever happens to it.

Where a conversation exceeds the model's context, its oldest messages are left out, a prompt and its response
at a time, until there is room for the response. The system prompt and the newest prompt stay.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi.concurrency import run_in_threadpool

from alignloop.errors import AlignloopError
from alignloop.labeling.escalations import Ask
from alignloop.labeling.serving_schema import MessageState
from alignloop.serving.engine import Engine
from alignloop.serving.model_pool import ModelPool
from alignloop.web.api_schema import SamplingRequest
from alignloop.web.live_generation import Prompts, Responses
from alignloop.web.rule_checks import Dialogue, FixedResponses, Place, RuleChecks, begin_checked

RESERVED_SHARE = 4  # a quarter of the context is kept for a response whose length is not set
MOST_RUNNING = 3  # of one person
MOST_SENT = 400  # messages that are tried to fit
STATES: dict[str, MessageState] = {"length": "cut", "content_filter": "blocked"}
# saves a text with its state, model, count of left out messages and what a person is asked; returns its id
Save = Callable[[str, MessageState, str, int, Ask | None], int]
SECOND = "/2"  # added to a conversation's name where a second response is written beside the first
log = logging.getLogger(__name__)


class TurnRefused(AlignloopError):
    """A response cannot be begun; the message is for the person."""


@dataclass(eq=False)
class Turn:
    """One response; `save` stores it and returns its id."""

    live: Responses
    left_out: int
    save: Save
    asked: list[Ask]  # a person, to respond
    text: str = ""
    state: MessageState = "complete"
    saved: int | None = None
    problem: str = ""
    is_held: bool = False  # until it has been checked
    pieces: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    task: "asyncio.Task[None] | None" = None

    async def run(self) -> None:
        """Generate until the end or until it is cancelled, and save what there is."""
        finish = None
        try:
            async for pieces in self.live.pieces():
                for piece in pieces:
                    self.text += piece.text
                    self.pieces.put_nowait(piece.text)
                    finish = piece.finish or finish
            self.state = "waiting" if self.asked else STATES.get(finish or "stop", "complete")
        except asyncio.CancelledError:
            self.state = "stopped"
        except Exception as error:
            self.state = "failed"
            self.problem = str(error) if isinstance(error, AlignloopError) else "The model failed."
            log.error("a response failed", exc_info=error)
        finally:
            self.live.end()
        try:
            label = self.live.version.label
            ask = self.asked[0] if self.state == "waiting" else None
            self.saved = await run_in_threadpool(
                lambda: self.save(self.text, self.state, label, self.left_out, ask)
            )
        except AlignloopError as error:  # the conversation was deleted meanwhile, or the disk is full
            self.problem = str(error)
        self.pieces.put_nowait(None)

    async def events(self) -> AsyncIterator[bytes]:
        """What the page is sent."""
        is_open = True
        if self.is_held:
            yield _event(note="The response is shown when it has ended and has been checked.")
        while is_open:
            found = [await self.pieces.get()]
            while not self.pieces.empty():
                found.append(self.pieces.get_nowait())
            is_open = None not in found
            if text := "".join(piece for piece in found if piece):
                yield _event(text=text)
        yield _event(done=self.saved, state=self.state, problem=self.problem)

    @property
    def is_blocked(self) -> bool:
        """Whether a rule lets the prompt through to no model."""
        return isinstance(self.live, FixedResponses)

    def stop(self) -> None:
        """Generate no more; what there is is saved."""
        if self.task and not self.task.done():
            self.task.cancel()


class Turns:
    """The responses that run, by conversation."""

    def __init__(self, pool: ModelPool, checks: RuleChecks) -> None:
        self._pool, self._checks = pool, checks
        self._running: dict[str, tuple[str, Turn | None]] = {}

    def running(self, conversation: str) -> Turn | None:
        """The response that runs in a conversation."""
        second = self._running.get(conversation + SECOND, ("", None))
        return self._running.get(conversation, second)[1]

    async def begin(
        self,
        owner: str,
        conversation: str,
        *,
        model: str,
        messages: Sequence[dict[str, str]],
        settings: dict[str, Any],
        save: Save,
    ) -> Turn:
        """Begin a response to the messages. Raises TurnRefused, and what the engine refuses with."""
        if conversation in self._running or conversation + SECOND in self._running:
            raise TurnRefused("A response is being written in this conversation: stop it first.")
        if sum(each == owner for each, _ in self._running.values()) >= MOST_RUNNING:
            raise TurnRefused(f"{MOST_RUNNING} responses are being written for you: wait for one of them.")
        self._running[conversation] = (owner, None)
        try:
            left_out = 0

            place = Place(owner, conversation)

            def plan(engine: Engine) -> tuple[Prompts, list[Dialogue]]:
                nonlocal left_out
                asked = SamplingRequest(model=model, **settings)
                checked = self._checks.prompt(messages, place, is_new=True)
                prompt, left_out = fitted(engine, checked, asked.max_tokens)
                room = engine.context - len(prompt)
                return [(prompt, asked.sampling(min(asked.max_tokens or room, room), None))], [checked]

            asked: list[Ask] = []
            live = await begin_checked(self._checks, self._pool, model, plan, place, ask=asked.append)
        except BaseException:
            del self._running[conversation]
            raise
        turn = Turn(live, left_out, save, asked, is_held=self._checks.holds_back)
        self._running[conversation] = (owner, turn)
        turn.task = asyncio.create_task(turn.run())
        turn.task.add_done_callback(lambda _: self._running.pop(conversation, None))
        return turn


def fitted(
    engine: Engine, messages: Sequence[dict[str, str]], max_tokens: int | None
) -> tuple[tuple[int, ...], int]:
    """Token ids of as many of the newest messages as leave room for a response, and how many are left out.

    Raises TurnRefused if the newest prompt alone leaves none.
    """
    kept = max(1, min(max_tokens or engine.context, engine.context // RESERVED_SHARE))
    system = [message for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    left_out = max(0, len(rest) - MOST_SENT)
    left_out += left_out % 2  # a prompt with its response
    while left_out < len(rest):
        prompt = engine.encode_dialogue([*system, *rest[left_out:]])
        if len(prompt) + kept <= engine.context:
            return prompt, left_out
        left_out += 2
    raise TurnRefused(
        f"This is too long for the model: its context has {engine.context} tokens, of which {kept} are kept "
        "for the response. Shorten the message or the system prompt."
    )


def _event(**values: Any) -> bytes:
    return b"data: " + orjson.dumps(values) + b"\n\n"
