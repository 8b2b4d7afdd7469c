"""Responses in the forms of the OpenAI API: whole and in chunks, of dialogues and of texts."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from alignloop.serving.batch import TokenLogprob
from alignloop.serving.generation import Piece, of_last_turn
from alignloop.web.cited_text import CitedText
from alignloop.web.live_generation import Responses


class Form(Protocol):
    """One of the two forms."""

    prefix: str
    kind: str
    chunk_kind: str
    strips: bool  # white space around a response

    def choice(self, live: Responses, pieces: Sequence[Piece]) -> dict[str, Any]:
        """A whole response."""
        ...

    def opening(self, choice: int) -> dict[str, Any] | None:
        """What a stream begins a response with."""
        ...

    def parts(self, live: Responses, piece: Piece) -> list[dict[str, Any]]:
        """What a stream says of a piece."""
        ...


class ChatForm:
    """Of `/v1/chat/completions`."""

    prefix = "chatcmpl"
    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"
    strips = True

    def __init__(self) -> None:
        self._said: dict[int, CitedText] = defaultdict(CitedText)  # by choice

    def choice(self, live: Responses, pieces: Sequence[Piece]) -> dict[str, Any]:
        said = CitedText()
        for piece in pieces:
            said.take(piece)
        message = {"role": "assistant", "content": said.text, "refusal": None}
        return {
            "index": pieces[0].choice,
            "message": message | said.fields(),
            "logprobs": self._logprobs(live, of_last_turn(pieces)),
            "finish_reason": pieces[-1].finish,
        }

    def opening(self, choice: int) -> dict[str, Any] | None:
        delta = {"role": "assistant", "content": "", "refusal": None}
        return {"index": choice, "delta": delta, "logprobs": None, "finish_reason": None}

    def parts(self, live: Responses, piece: Piece) -> list[dict[str, Any]]:
        said = self._said[piece.choice]
        text = said.take(piece)
        parts = []
        if text or piece.logprobs:
            logprobs = self._logprobs(live, [piece])
            delta = {"content": text}
            parts.append({"index": piece.choice, "delta": delta, "logprobs": logprobs, "finish_reason": None})
        if piece.finish:
            delta = said.fields(said.before)
            end = {"index": piece.choice, "delta": delta, "logprobs": None, "finish_reason": piece.finish}
            parts.append(end)
        return parts

    def _logprobs(self, live: Responses, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        drawn = [each for piece in pieces for each in piece.logprobs]
        if not drawn:
            return None
        names = _Names(live.tokenizer)
        content = [
            {
                **names.entry(each.token, each.logprob),
                "top_logprobs": [names.entry(token, value) for token, value in each.top],
            }
            for each in drawn
        ]
        return {"content": content, "refusal": None}


class TextForm:
    """Of `/v1/completions`."""

    prefix = "cmpl"
    kind = chunk_kind = "text_completion"
    strips = False

    def __init__(self) -> None:
        self.echoed: list[str] = []  # what each choice begins with, where prompts are echoed

    def choice(self, live: Responses, pieces: Sequence[Piece]) -> dict[str, Any]:
        drawn = [each for piece in pieces for each in piece.logprobs]
        before = self.echoed[pieces[0].choice] if self.echoed else ""
        return {
            "index": pieces[0].choice,
            "text": before + "".join(piece.text for piece in pieces),
            "logprobs": self._logprobs(live, drawn),
            "finish_reason": pieces[-1].finish,
        }

    def opening(self, choice: int) -> dict[str, Any] | None:
        return None

    def parts(self, live: Responses, piece: Piece) -> list[dict[str, Any]]:
        return [self.choice(live, [piece])]

    def _logprobs(self, live: Responses, drawn: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if not drawn:
            return None
        names = _Names(live.tokenizer)
        return {
            "tokens": [names.text(each.token) for each in drawn],
            "token_logprobs": [each.logprob for each in drawn],
            "top_logprobs": [
                None if each.logprob is None else {names.text(token): value for token, value in each.top}
                for each in drawn
            ],
            "text_offset": None,  # a token may be a part of a character
        }


class _Names:
    """Tokens as text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    def text(self, token: int) -> str:
        return str(self._tokenizer.decode([token]))

    def entry(self, token: int, logprob: float | None) -> dict[str, Any]:
        text = self.text(token)
        is_whole = "\N{REPLACEMENT CHARACTER}" not in text  # else the bytes are a part of a character
        return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if is_whole else None}


def usage(live: Responses) -> dict[str, int]:
    """Tokens of prompts and of responses; a response's end token counts."""
    drawn = live.drawn_tokens
    return {
        "prompt_tokens": live.prompt_tokens,
        "completion_tokens": drawn,
        "total_tokens": live.prompt_tokens + drawn,
    }
