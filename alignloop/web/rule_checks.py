"""The rules of configs/rules.yaml while a model is served: prompts before it, responses after it.

Where a rule may change or replace a response, nothing of the response is sent before its end, when the whole
of it has been checked. Every decision is a line of the audit, without the text.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from alignloop.labeling.database import LabelingDatabase, log_event
from alignloop.labeling.escalations import Ask
from alignloop.rules.finders import RuleFailed
from alignloop.rules.rule import Side
from alignloop.rules.rule_set import Decision, RuleSet
from alignloop.serving.engine import Engine, ServingError
from alignloop.serving.generation import CallNews, Piece
from alignloop.serving.model_pool import ModelPool
from alignloop.serving.served_version import ServedVersion
from alignloop.web.live_generation import Prompts, Responses, WrappedResponses, added, begin
from alignloop.web.serving_metrics import MeasuredResponses, ServingMetrics

log = logging.getLogger(__name__)
Dialogue = Sequence[dict[str, str]]
STOPPING = ("block", "ask_person")
WAITING = "A person will read this and respond here."
NOBODY = "A person has to respond to this, and programs cannot wait for one. Ask on the chat page."


class NotChecked(ServingError):
    """A rule cannot be checked, so nothing is let through."""


class PromptBlocked(Exception):
    """A rule does not let a prompt through to a model."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.by)
        self.decision = decision


@dataclass(frozen=True)
class Place:
    """Whose text is checked, and where: a conversation's id, or a path of the API."""

    actor: str
    where: str


class RuleChecks:
    """Applies rules, and writes what they decide into the audit."""

    def __init__(self, rules: RuleSet, database: LabelingDatabase, metrics: ServingMetrics) -> None:
        self._rules, self._database = rules, database
        self.metrics = metrics
        self.holds_back = rules.holds_back()
        self.reads_responses = bool(rules.on("response"))

    def stored(self, prompt: str, place: Place) -> str:
        """A prompt as it may be stored: redacted where that is what its rules do."""
        decision = self._decide("prompt", [{"role": "user", "content": prompt}])
        if decision.action == "redact":
            self._record(decision, "prompt", place)
        return decision.text

    def prompt(self, messages: Dialogue, place: Place, is_new: bool = False) -> list[dict[str, str]]:
        """The messages as the model may read them. Raises PromptBlocked.

        With `is_new` only the system prompt and the last message are checked: the others were, when they
        came.
        """
        checked = [dict(message) for message in messages]
        decisions: list[Decision] = []
        for place_of, message in enumerate(messages):
            if is_new and message["role"] != "system" and place_of + 1 < len(messages):
                continue
            decision = self._decide("prompt", messages[: place_of + 1])
            decisions.append(decision)
            checked[place_of]["content"] = decision.text
        for decision in _of_each_rule(decisions):
            self._record(decision, "prompt", place)
        for action in STOPPING:
            if stopped := next((each for each in decisions if each.action == action), None):
                raise PromptBlocked(stopped)
        return checked

    def response(self, messages: Dialogue, text: str, place: Place, model: str) -> Decision:
        """What is done about a whole response."""
        decision = self._decide("response", [*messages, {"role": "assistant", "content": text}])
        if decision.action:
            self._record(decision, "response", place, model=model)
        return decision

    def _decide(self, side: Side, messages: Dialogue) -> Decision:
        try:
            with self.metrics.checking(side):
                return self._rules.decide(side, messages)
        except RuleFailed as error:
            log.error("nothing is let through: %s", error)
            raise NotChecked(
                "a rule of this server cannot be checked now, so nothing is let through; try again later"
            ) from None

    def _record(self, decision: Decision, side: Side, place: Place, **more: str) -> None:
        details = {"side": side, "where": place.where, "rules": list(decision.hits), **more}
        with self._database.writing() as session:
            log_event(session, place.actor, f"rule {decision.action}", decision.by, **details)
        self.metrics.decided(decision, side)


def _of_each_rule(decisions: Sequence[Decision]) -> list[Decision]:
    """The decisions that do something, one for each rule: a dialogue may repeat what it says."""
    return list({each.by: each for each in decisions if each.action}.values())


class FixedResponses:
    """What stands for the responses to a blocked prompt; no model is asked."""

    tokenizer = None
    prompt_tokens = drawn_tokens = 0

    def __init__(self, version: ServedVersion, message: str, count: int) -> None:
        self.version, self.count = version, count
        self._message = message

    async def pieces(self) -> AsyncIterator[list[Piece]]:
        """One piece for each response."""
        yield [Piece(choice, self._message, 0, finish="content_filter") for choice in range(self.count)]

    def end(self) -> None:
        """Nothing runs."""


class CheckedResponses(WrappedResponses):
    """Responses that are checked: held back until then where a rule may change them."""

    def __init__(
        self,
        live: Responses,
        check: Callable[[int, str], Decision],
        is_held: bool,
        ask: Callable[[Ask], None] | None = None,
    ) -> None:
        super().__init__(live)
        self._check, self._is_held = check, is_held
        self._ask = ask

    async def pieces(self) -> AsyncIterator[list[Piece]]:
        """The pieces as they come, or of each response one when it has ended."""
        whole: dict[int, Piece] = defaultdict(lambda: Piece(0, "", 0))
        try:
            async for found in self._live.pieces():
                out: list[Piece] = []
                for piece in found:
                    joined = added(whole[piece.choice], piece)
                    whole[piece.choice] = joined
                    if piece.news:
                        whole[piece.choice] = replace(joined, text="", logprobs=())
                        out.append(_hidden(piece) if self._is_held else piece)
                    elif piece.finish:
                        del whole[piece.choice]
                        checked = await self._checked(joined)
                        out.append(checked if self._is_held else piece)
                    elif not self._is_held:
                        out.append(piece)
                if out:
                    yield out
        finally:
            if not self._is_held:  # what was shown before a stop is checked all the same
                for piece in whole.values():
                    asyncio.get_running_loop().run_in_executor(None, self._check, piece.choice, piece.text)

    async def _checked(self, piece: Piece) -> Piece:
        """A whole response as it may be shown, its calls included: what it asks a tool is its own as well."""
        turns = list(piece.turns or ())
        decision = await run_in_threadpool(self._check, piece.choice, piece.text)
        for place, turn in enumerate(turns[:-1]):
            if turn.by == "policy" and decision.action not in STOPPING:
                of_call = await run_in_threadpool(self._check, piece.choice, turn.text)
                turns[place] = turn.model_copy(update={"text": of_call.text})
                decision = of_call if of_call.action in STOPPING else decision
        if decision.action in STOPPING:
            words = _instead(decision, Ask(decision.by, "response", piece.text), self._ask)
            return replace(piece, text=words, logprobs=(), finish="content_filter", turns=None)
        if turns:
            turns[-1] = turns[-1].model_copy(update={"text": decision.text})
            piece = replace(piece, turns=tuple(turns))
        if decision.text != piece.text:
            return replace(piece, text=decision.text, logprobs=())
        return piece


def _hidden(piece: Piece) -> Piece:
    """News of a call without what is asked, which has not been checked yet."""
    news = piece.news and CallNews(piece.news.tool, "", piece.news.outcome)
    return replace(piece, text="", tokens=0, logprobs=(), news=news, turns=None)


async def begin_checked(
    checks: RuleChecks,
    pool: ModelPool,
    model: str,
    plan: Callable[[Engine], tuple[Prompts, Sequence[Dialogue]]],
    place: Place,
    *,
    prompts: int = 1,
    choices: int = 1,
    strip: bool = True,
    ask: Callable[[Ask], None] | None = None,
) -> Responses:
    """Begin responses as `begin` does, checked by the rules; `ask` lets a person respond.

    What they take is counted. `plan` gives the prompts, and for each the dialogue that a response continues;
    it may raise PromptBlocked. `prompts` is how many there are.
    """
    dialogues: Sequence[Dialogue] = ()
    begun = time.monotonic()
    checks.metrics.arrived()

    def planned(engine: Engine) -> Prompts:
        nonlocal dialogues
        prompts, dialogues = plan(engine)
        return prompts

    try:
        live: Responses = await begin(pool, model, planned, choices=choices, strip=strip)
    except PromptBlocked as stopped:
        words = _instead(stopped.decision, Ask(stopped.decision.by, "prompt", ""), ask)
        return FixedResponses(pool.find(model), words, prompts * choices)
    live = MeasuredResponses(live, checks.metrics, begun)
    if not checks.reads_responses:
        return live

    def check(choice: int, text: str) -> Decision:
        return checks.response(dialogues[choice // choices], text, place, live.version.name)

    return CheckedResponses(live, check, checks.holds_back, ask)


def _instead(decision: Decision, asked: Ask, ask: Callable[[Ask], None] | None) -> str:
    """What is shown instead of a response that is not let through."""
    if decision.action == "block":
        return decision.message or ""
    if ask is None:
        return NOBODY
    ask(asked)
    return decision.message or WAITING


def get_checks(request: Request) -> RuleChecks:
    """The rules of the server."""
    return request.app.state.checks
