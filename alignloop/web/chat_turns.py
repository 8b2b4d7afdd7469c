"""A response of the chat page while it is generated: streamed to the page, and saved whatever happens."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from fastapi.concurrency import run_in_threadpool

from alignloop.errors import AlignloopError
from alignloop.labeling.escalations import Ask
from alignloop.labeling.serving_schema import MessageState
from alignloop.retrieval.citations import search_answers
from alignloop.retrieval.reading import CitationStream
from alignloop.serving.engine import Engine
from alignloop.serving.generation import Piece
from alignloop.serving.model_pool import ModelPool
from alignloop.tool_turns import RolloutTurn
from alignloop.tool_turns import Turns as RolloutTurns
from alignloop.web.api_schema import SamplingRequest
from alignloop.web.live_generation import PlannedPrompt, Prompts, Responses
from alignloop.web.prompt_room import TurnRefused, fitted
from alignloop.web.rule_checks import Dialogue, FixedResponses, Place, RuleChecks, begin_checked

MOST_RUNNING = 3  # of one person
STATES: dict[str, MessageState] = {"length": "cut", "content_filter": "blocked"}
SECOND = "/2"  # added to a conversation's name where a second response is written beside the first
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """A response as it is saved: `left_out` messages exceeded the context, `ask` is what a person is asked.

    `turns` are those of a response that may call tools.
    """

    text: str
    state: MessageState
    model: str
    left_out: int
    ask: Ask | None = None
    turns: RolloutTurns | None = None


Save = Callable[[Written], int]  # returns the id


@dataclass(eq=False)
class Turn:
    """One response; `save` stores it and returns its id."""

    live: Responses
    left_out: int
    save: Save
    asked: list[Ask]  # a person, to respond
    text: str = ""
    turns: RolloutTurns | None = None  # before what the text is of, or all of them
    state: MessageState = "complete"
    saved: int | None = None
    problem: str = ""
    is_held: bool = False  # until it has been checked
    events: "asyncio.Queue[dict[str, Any] | None]" = field(default_factory=asyncio.Queue)
    task: "asyncio.Task[None] | None" = None
    _reader: CitationStream | None = None  # of a response that has searched
    _drawn: int = 0  # tokens of the text

    async def run(self) -> None:
        """Generate until the end or until it is cancelled, and save what there is."""
        finish = None
        try:
            async for pieces in self.live.pieces():
                for piece in pieces:
                    self._take(piece)
                    finish = piece.finish or finish
            self.state = "waiting" if self.asked else STATES.get(finish or "stop", "complete")
        except asyncio.CancelledError:
            self.state = "stopped"
            self._end_turns()
        except Exception as error:
            self.state = "failed"
            self.problem = str(error) if isinstance(error, AlignloopError) else "The model failed."
            self._end_turns()
            log.error("a response failed", exc_info=error)
        finally:
            self.live.end()
        self._show(self._reader.finish() if self._reader else "")
        ask = self.asked[0] if self.state == "waiting" else None
        about = {"left_out": self.left_out, "ask": ask, "turns": self.turns}
        written = Written(self.text, self.state, self.live.version.label, **about)
        try:
            self.saved = await run_in_threadpool(self.save, written)
        except AlignloopError as error:  # the conversation was deleted meanwhile, or the disk is full
            self.problem = str(error)
        self.events.put_nowait(None)

    def _take(self, piece: Piece) -> None:
        if piece.news:  # what was said before belongs to the call
            self.text, self._drawn = "", 0
            self.turns, self._reader = piece.turns, None
            self.events.put_nowait({"call": asdict(piece.news)})
        if not self.text and (found := search_answers(piece.turns)):
            self._reader = CitationStream(found)
        if piece.finish:
            self.turns = piece.turns
        self.text += piece.text
        self._drawn += piece.tokens
        self._show(self._reader.add(piece.text) if self._reader else piece.text)

    def _show(self, text: str) -> None:
        if text:
            self.events.put_nowait({"text": text})

    def _end_turns(self) -> None:
        """Add the turn that was not ended, if it is not a call that waits for its answer."""
        if self.turns and self.turns[-1].by == "tool":
            last = RolloutTurn(by="policy", text=self.text, tokens=self._drawn)
            self.turns = (*self.turns, last)

    async def sent(self) -> AsyncIterator[bytes]:
        """What the page is sent."""
        if self.is_held:
            yield _event(note="The response is shown when it has ended and has been checked.")
        is_open = True
        while is_open:
            found = [await self.events.get()]
            while not self.events.empty():
                found.append(self.events.get_nowait())
            is_open = None not in found
            for event in _joined(found):
                yield _event(**event)
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
                found = fitted(engine, checked, asked.max_tokens, may_call=True)
                left_out, room = found.left_out, engine.context - len(found.prompt)
                sampling = asked.sampling(min(asked.max_tokens or room, room), None)
                return [PlannedPrompt(found.prompt, sampling, found.may_call)], [checked]

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


def _joined(events: Sequence[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """The events, texts that follow each other as one."""
    joined: list[dict[str, Any]] = []
    for event in events:
        if event and joined and "text" in event and "text" in joined[-1]:
            joined[-1] = {"text": joined[-1]["text"] + event["text"]}
        elif event:
            joined.append(event)
    return joined


def _event(**values: Any) -> bytes:
    return b"data: " + orjson.dumps(values) + b"\n\n"
