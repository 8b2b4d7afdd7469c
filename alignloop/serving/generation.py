"""A request to an engine, and the pieces in which its responses come."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from alignloop.serving.batch import Finish, TokenLogprob
from alignloop.serving.sampling import Sampling
from alignloop.tool_turns import Turns


@dataclass(frozen=True)
class CallNews:
    """A response calls a tool (`outcome` is None), or the call has ended, in words for people.

    `asked` is what the tool is asked, `problem` why it gave no answer; both are "" where they may not be
    shown, or there is none.
    """

    tool: str
    asked: str
    outcome: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class Piece:
    """What a step adds to a response: text, log-probabilities where they are asked for, and its end.

    Any engine's pieces have the `ids` that were drawn, the end token included, so that a response may go on
    after a tool's answer. Then `news` begins another turn: the text before it is none of the response.
    `turns` are all turns so far, with news and with the end.
    """

    choice: int
    text: str
    tokens: int  # drawn since the last piece
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: Finish | None = None
    error: Exception | None = None
    ids: tuple[int, ...] = ()
    news: CallNews | None = None
    turns: Turns | None = None


def of_last_turn(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """The pieces of what one response says in the end."""
    begins = [place for place, piece in enumerate(pieces) if piece.news]
    return pieces[begins[-1] + 1 :] if begins else pieces


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
