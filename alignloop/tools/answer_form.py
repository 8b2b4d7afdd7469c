"""An answer of a tool as tokens: what the chat template writes between two turns of the assistant.

Where the template has no role for tools, as the built-in one, an answer is a user's turn with
`<tool_response>` around it, as in Hermes and Qwen. What the tool said cannot open or close a turn: special
tokens in it are broken up. So the turns of a response are found again in its tokens alone (`turns`), and no
response can pretend to have been answered, because it cannot contain special tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from alignloop.core.chat_template import (
    CHAT_TEMPLATE,
    MARK,
    QUESTION,
    TokenizerError,
    escape_special_tokens,
    render,
    response_form,
    special_tokens,
    write_template,
)
from alignloop.core.tokens import encode
from alignloop.retrieval.citations import CUT
from alignloop.tools.schemas import ToolError

SAID = "alignloop7answer"  # an answer that no template contains


@dataclass(frozen=True)
class Turn:
    """Tokens of a response that the policy drew, or those of an answer."""

    ids: list[int]
    own: bool


class AnswerForm:
    """What stands before and after a tool's words, and how many tokens it may be. Raises ToolError."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, most_tokens: int) -> None:
        self._tokenizer, self._most = tokenizer, most_tokens
        self._end = response_form(tokenizer).end
        self._before, self._after = _around(tokenizer)
        self._special = set(special_tokens(tokenizer).values())
        frame = encode(tokenizer, self._before + self._after)
        places = [place for place, token in enumerate(frame) if token in self._special]
        if not places:
            raise ToolError(
                "tools: the chat template opens and closes turns without special tokens, so a response "
                "could pretend to be a tool's answer; take a base whose template has them"
            )
        self._marks, self._tail = len(places), len(frame) - places[-1] - 1
        if len(frame) + 8 > most_tokens:
            raise ToolError(
                f"tools.answer_tokens: {most_tokens} leave no room in an answer, whose form alone has "
                f"{len(frame)} tokens; raise it"
            )

    def ids(self, text: str, by_passages: bool = False) -> tuple[list[int], bool]:
        """The tokens of an answer, at most `most_tokens`, and whether its text was cut for it.

        `by_passages` is for those of a search: as many whole passages as fit, or words of the first.
        """
        clean = escape_special_tokens(self._tokenizer, text.encode(errors="replace").decode())
        ids = self._encoded(clean)
        if len(ids) <= self._most:
            return ids, False
        return (self._passages(clean) if by_passages else self._beginning(clean, len(ids))), True

    def size(self, text: str) -> int:
        """The tokens that an answer would have, were it not cut."""
        return len(self._encoded(escape_special_tokens(self._tokenizer, text)))

    def _beginning(self, text: str, size: int) -> list[int]:
        """As many characters as fit; all of them have `size` tokens."""
        shown, ids = text, list[int]()
        while size > self._most:
            shown = text[: max(min(len(shown) - 1, len(shown) * self._most // size), 0)]
            ids = self._encoded(f"{shown} {CUT}")
            size = len(ids)
        return ids

    def _passages(self, text: str) -> list[int]:
        passages = text.split("\n\n")
        for count in range(len(passages) - 1, 0, -1):
            if len(ids := self._encoded("\n\n".join([*passages[:count], CUT]))) <= self._most:
                return ids
        header, _, first = passages[0].partition("\n")
        words, best = first.split(" "), self._encoded(CUT)
        least, most = 1, len(words)
        while least <= most:
            count = (least + most) // 2
            ids = self._encoded(f"{header}\n{' '.join(words[:count])} {CUT}")
            if len(ids) <= self._most:
                best, least = ids, count + 1
            else:
                most = count - 1
        return best

    def turns(self, ids: Sequence[int]) -> list[Turn]:
        """The turns of a response, the policy's and the answers between them, found in its tokens."""
        found: list[Turn] = []
        rest = list(ids)
        while self._end in rest and (end := rest.index(self._end) + 1) < len(rest):
            found.append(Turn(rest[:end], True))
            rest = rest[end:]
            marks = [place for place, token in enumerate(rest) if token in self._special]
            length = marks[self._marks - 1] + 1 + self._tail
            found.append(Turn(rest[:length], False))
            rest = rest[length:]
        return [*found, Turn(rest, True)]

    def last_turn(self, ids: Sequence[int]) -> list[int]:
        """What a response says in the end, after its last answer."""
        return self.turns(ids)[-1].ids

    def words(self, turn: Turn) -> str:
        """What a tool said, as it was cut."""
        text = str(self._tokenizer.decode(turn.ids, skip_special_tokens=False))
        return text.removeprefix(self._before).removesuffix(self._after)

    def _encoded(self, text: str) -> list[int]:
        return encode(self._tokenizer, self._before + text + self._after)


def _around(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """The text after an assistant's end token up to a tool's words, and from there to the next turn."""
    said: list[Any] = [QUESTION, {"role": "assistant", "content": MARK}]
    if tokenizer.chat_template != CHAT_TEMPLATE:
        try:
            text = write_template(tokenizer, [*said, {"role": "tool", "content": SAID}], True)
        except TokenizerError:  # the template has no such role
            text = ""
        if SAID in text and MARK in text:
            return _split(tokenizer, text)
    words = f"<tool_response>\n{SAID}\n</tool_response>"
    return _split(tokenizer, render(tokenizer, [*said, {"role": "user", "content": words}], True))


def _split(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[str, str]:
    end = response_form(tokenizer).end_text
    before, _, after = text.partition(MARK)[2].partition(end)[2].partition(SAID)
    return before, after
