"""The text of a response while its tokens arrive: whole characters, and nothing that may be cut later."""

from collections.abc import Sequence

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase


class TextStream:
    """Turns tokens into pieces of text; the pieces together are the decoded response.

    What may still become a stop text is held back, and so is an incomplete character. With `strip`, white
    space around the response is left out, as training's `core.tokens.decode` does.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], strip: bool) -> None:
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._stop, self._strip = tuple(stop), strip
        self._longest = max(map(len, self._stop), default=0)
        self._ids: list[int] = []
        self._text = ""  # decoded so far, from which `_sent` characters have been given out
        self._sent = 0
        self._begun = False  # whether anything but white space has been given out
        self.is_stopped = False

    def add(self, token: int) -> str:
        """The text that is certain after one more token; `is_stopped` is set once a stop text appears."""
        self._ids.append(token)
        if self._backend is None:  # a tokenizer in Python: the whole text again, without its incomplete end
            whole = self._decoded().rstrip("\N{REPLACEMENT CHARACTER}")
            self._extend(whole[len(self._text) :])
        else:
            self._extend(self._decoder.step(self._backend, token) or "")
        return self._certain(is_last=self.is_stopped)

    def finish(self) -> str:
        """The rest of the text after the last token."""
        if not self.is_stopped:
            whole = self._decoded()  # has the incomplete character that the stream holds back
            if whole.startswith(self._text):
                self._extend(whole[len(self._text) :])
        return self._certain(is_last=True)

    def _decoded(self) -> str:
        return str(self._tokenizer.decode(self._ids, skip_special_tokens=True))

    def _extend(self, piece: str) -> None:
        if not piece:
            return
        start = max(0, len(self._text) + 1 - self._longest)
        self._text += piece
        places = [place for stop in self._stop if (place := self._text.find(stop, start)) >= 0]
        if places:
            self._text, self.is_stopped = self._text[: min(places)], True

    def _certain(self, is_last: bool) -> str:
        end = len(self._text) if is_last else len(self._text) - self._held()
        if self._strip:
            if not self._begun:
                self._sent = len(self._text) - len(self._text.lstrip())
            end = len(self._text[:end].rstrip())
        piece = self._text[self._sent : end]
        self._sent = max(self._sent, end)
        self._begun |= bool(piece)
        return piece

    def _held(self) -> int:
        """How many characters at the end of the text may be the beginning of a stop text."""
        for length in range(min(self._longest - 1, len(self._text)), 0, -1):
            tail = self._text[-length:]
            if any(stop.startswith(tail) for stop in self._stop):
                return length
        return 0
