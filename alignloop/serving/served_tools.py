"""Responses that call tools while they are served, in the tokens and within the limits of training.

A turn is drawn by the engine as any response is. One that makes a call leaves the engine: the tool answers on
a thread, and the next turn is a request whose prompt is the tokens so far, with the answer's. So nobody
waits for the tools of others, and any engine that takes and gives token ids serves them.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from alignloop.core.chat_template import Messages, response_form
from alignloop.errors import AlignloopError
from alignloop.params.tools import Tools
from alignloop.seeds import seed_of
from alignloop.serving.batch import TokenLogprob
from alignloop.serving.generation import CallNews, Piece
from alignloop.serving.sampling import Sampling
from alignloop.tool_turns import RolloutTurn
from alignloop.tools.called import shown_call, shown_problem
from alignloop.tools.offer import is_off, offered
from alignloop.tools.schemas import ToolError
from alignloop.tools.toolbox import MOST_AT_ONCE, open_tools

log = logging.getLogger(__name__)


class ToolsFailed(AlignloopError):
    """A tool can answer no call any more, whatever it is asked."""


class Reply(NamedTuple):
    """A tool's answer: its tokens, the turn that they are, and how the call ended."""

    ids: list[int]
    turn: RolloutTurn
    outcome: str


class ServedTools:
    """What the responses of one model may call."""

    def __init__(self, plan: Tools, tokenizer: PreTrainedTokenizerBase, root: Path) -> None:
        """Starts the tools' processes, which `close` ends. Raises ToolError for those that cannot be used."""
        self.max_calls = plan.max_calls
        self.answer_tokens = plan.max_calls * plan.answer_tokens  # of one response, at most
        # of its own: the engine decodes with the other one on another thread
        self._tokenizer = deepcopy(tokenizer)
        self._end = response_form(tokenizer).end
        self._stack = ExitStack()
        toolbox = self._stack.enter_context(open_tools(plan, self._tokenizer, root))
        assert toolbox is not None, "tools are served where tools.functions has some"
        self._toolbox = toolbox
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, "tools")

    def offered(self, messages: Messages) -> tuple[int, ...] | None:
        """A prompt's tokens with the tools in it; None where its system message says `browsing: disabled`."""
        if is_off(messages):
            return None
        return tuple(offered(self._tokenizer, messages, self._toolbox.definitions, self._toolbox.form))

    def is_call(self, turn: Sequence[int]) -> bool:
        """Whether a turn has ended and makes a call, right or wrong."""
        return bool(turn) and turn[-1] == self._end and self._toolbox.is_call(turn)

    def text(self, turn: Sequence[int]) -> str:
        """A turn as text."""
        return self._toolbox.turns_of(list(turn))[0].text

    def answer(self, turn: Sequence[int]) -> "Future[Reply]":
        """The answer to a call, whatever the call or the tool does.

        Raises ToolsFailed where the tool can answer no call any more.
        """
        return self._threads.submit(self._answer, list(turn))

    def _answer(self, turn: list[int]) -> Reply:
        try:
            [answer] = self._toolbox.answer([turn])
        except ToolError as error:
            log.error("a tool cannot be used: %s", error)
            words = "A tool of this server cannot be used now; the server's log has the cause."
            raise ToolsFailed(words) from None
        return Reply(answer.ids, self._toolbox.turns_of([*turn, *answer.ids])[1], answer.outcome)

    def said(self) -> "SaidText":
        """For the text of one turn."""
        return SaidText(self._toolbox.form.before)

    def close(self) -> None:
        """End the tools' processes; one that is answering ends with its time."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._stack.close()


class SaidText:
    """The text of a turn as it may be shown while it is drawn: nothing that may be a call."""

    def __init__(self, mark: str) -> None:
        """`mark` begins a call; "": a call is all of its turn, a JSON object."""
        self._mark = mark
        self._text, self._sent = "", 0

    def add(self, piece: str) -> str:
        """What is certain after one more piece."""
        self._text += piece
        return self._until(self._certain())

    def rest(self) -> str:
        """What was held back of a turn that makes no call."""
        return self._until(len(self._text))

    @property
    def whole(self) -> str:
        """All that was added."""
        return self._text

    def _until(self, end: int) -> str:
        piece = self._text[self._sent : end]
        self._sent = max(self._sent, end)
        return piece

    def _certain(self) -> int:
        if not self._mark:
            begun = self._text.lstrip()
            return 0 if not begun or begun.startswith("{") else len(self._text)
        if (place := self._text.find(self._mark)) >= 0:
            return place
        for length in range(min(len(self._mark) - 1, len(self._text)), 0, -1):
            if self._mark.startswith(self._text[-length:]):
                return len(self._text) - length
        return len(self._text)


class CallingResponse:
    """One response while it is drawn, turn by turn."""

    def __init__(
        self,
        tools: ServedTools,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        context: int,
        choice: int,
    ) -> None:
        """`sampling` is that of the first turn; its `max_tokens` are those of all turns together."""
        self.choice = choice
        self._tools, self._sampling = tools, sampling
        self._context = context
        self._ids = list(prompt)  # up to the turn that is drawn
        self._turns: list[RolloutTurn] = []
        self._calls = self._drawn = 0
        self._asked = ("", "")
        self._begin_turn()

    def _begin_turn(self) -> None:
        self._turn: list[int] = []
        self._said = self._tools.said()
        self._logprobs: tuple[TokenLogprob, ...] = ()  # of text that is held back

    def take(self, piece: Piece) -> tuple[Piece, list[int] | None]:
        """What is shown of an engine's piece, and the turn that it ends if a tool must answer it."""
        self._turn += piece.ids
        self._drawn += len(piece.ids)
        self._logprobs += piece.logprobs
        text = self._said.add(piece.text)
        if piece.finish is None:
            return replace(piece, text=text, logprobs=self._released(bool(text))), None
        is_call = self._tools.is_call(self._turn)
        if is_call and self._calls < self._tools.max_calls:
            text = self._tools.text(self._turn)
            self._end_turn(text)
            self._asked = shown_call(text)
            made = replace(piece, text="", logprobs=(), finish=None, turns=tuple(self._turns))
            return replace(made, news=CallNews(*self._asked)), self._turn
        text += self._said.rest()
        self._end_turn(self._said.whole)
        ended = replace(piece, text=text, logprobs=self._released(True), turns=tuple(self._turns))
        return replace(ended, finish="length") if is_call else ended, None  # nobody answers one call more

    def answered(self, reply: Reply) -> tuple[list[Piece], tuple[tuple[int, ...], Sampling] | None]:
        """What is shown of an answer, and the prompt of the next turn with how it is sampled.

        Without room for another turn the response ends.
        """
        self._ids += [*self._turn, *reply.ids]
        self._turns.append(reply.turn)
        self._calls += 1
        self._begin_turn()
        news = CallNews(*self._asked, reply.outcome, shown_problem(reply.turn.text))
        pieces = [Piece(self.choice, "", 0, news=news, turns=tuple(self._turns))]
        left = min(self._sampling.max_tokens - self._drawn, self._context - len(self._ids))
        if left < 1:
            self._end_turn("")
            return [*pieces, Piece(self.choice, "", 0, finish="length", turns=tuple(self._turns))], None
        names = ("turn", str(self.choice), str(self._calls))
        later = replace(self._sampling, max_tokens=left, seed=seed_of(self._sampling.seed, *names))
        return pieces, (tuple(self._ids), later)

    def _end_turn(self, text: str) -> None:
        self._turns.append(RolloutTurn(by="policy", text=text, tokens=len(self._turn)))

    def _released(self, is_said: bool) -> tuple[TokenLogprob, ...]:
        """The log-probabilities so far once their text is shown."""
        found = self._logprobs if is_said else ()
        self._logprobs = () if is_said else self._logprobs
        return found
