"""The chat template: dialogues as text, and what it writes around an assistant's response."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerBase

from alignloop.errors import AlignloopError

PAD, END = "<|pad|>", "<|end|>"
SYSTEM = "<|system|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
SPECIAL = (PAD, END, SYSTEM, USER, ASSISTANT)  # their ids are 0 to 4
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
MARK = "alignloop7probe"  # a response that no template contains
QUESTION = {"role": "user", "content": "Question"}
Messages = Sequence[Mapping[str, str]]


class TokenizerError(AlignloopError):
    """The tokenizer cannot encode a dialogue; the message names what is missing."""


class RewrittenTurn(TokenizerError):
    """The chat template writes an earlier turn in another form than that in which it was a response."""


@dataclass(frozen=True)
class ResponseForm:
    """How the chat template writes a response: the white space around it, and the token that ends it."""

    before: str
    after: str
    end_text: str
    end: int
    strips_left: bool = False
    strips_right: bool = False

    def text(self, response: str, ended: bool = True) -> str:
        """A response as the template writes it, without its end token."""
        if self.strips_left:
            response = response.lstrip()
        if self.strips_right:
            response = response.rstrip()
        return self.before + response + (self.after if ended else "")


def response_form(tokenizer: PreTrainedTokenizerBase) -> ResponseForm:
    """The form of a response. The token that ends it is the template's, whatever `eos_token` is."""
    template = tokenizer.chat_template
    if template is None or template == CHAT_TEMPLATE:
        return _plain_form(tokenizer)
    return _probed_form(tokenizer, str(template), len(tokenizer), str(tokenizer.eos_token))


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """All special tokens and their ids: the named ones, those only marked as special, and the end token."""
    known = _special_tokens(tokenizer, len(tokenizer))
    if tokenizer.chat_template is None or tokenizer.eos_token_id is None:
        return known
    form = response_form(tokenizer)
    return known if form.end_text in known else known | {form.end_text: form.end}


def escape_special_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """`text` with a space inside each special token, so that no text can open or close a turn."""
    for token in special_tokens(tokenizer):
        if token in text:
            text = text.replace(token, token[0] + " " + token[1:])
    return text


def render(tokenizer: PreTrainedTokenizerBase, messages: Messages, add_generation_prompt: bool) -> str:
    """The dialogue as text by the chat template; `add_generation_prompt` opens the assistant's next turn."""
    if tokenizer.chat_template is None:
        raise TokenizerError("the tokenizer has no chat template; give its folder a chat_template.jinja")
    clean = [
        {"role": message["role"], "content": escape_special_tokens(tokenizer, message["content"])}
        for message in messages
    ]
    if tokenizer.chat_template == CHAT_TEMPLATE:  # the same by hand: rendering by jinja takes 20 times longer
        turns = "".join(f"<|{message['role']}|>{message['content']}{END}" for message in clean)
        return turns + ASSISTANT if add_generation_prompt else turns
    return write_template(tokenizer, clean, add_generation_prompt)


def write_template(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool,
    tools: Sequence[Mapping[str, Any]] = (),
) -> str:
    """What the template writes for messages that hold no special tokens, with `tools` as JSON schemas.

    Raises TokenizerError where it fails.
    """
    try:
        return str(
            tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,  # type: ignore[arg-type]
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        )
    except MemoryError:
        raise
    except Exception as error:  # a template is a program: it may fail in any way, or refuse these roles
        roles = ", ".join(message["role"] for message in messages)
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise TokenizerError(
            f"the chat template cannot render a dialogue of {roles}: {cause}; put a chat_template.jinja that "
            "can into the checkpoint's folder, or leave such dialogues out"
        ) from None


@lru_cache(maxsize=4)
def _special_tokens(tokenizer: PreTrainedTokenizerBase, tokens: int) -> dict[str, int]:
    """Cached, as the query takes as long as encoding a sentence; `tokens` changes with added tokens."""
    marked = {
        token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    return marked | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))


def _plain_form(tokenizer: PreTrainedTokenizerBase) -> ResponseForm:
    """A response with nothing but `eos_token` after it."""
    end = tokenizer.eos_token_id
    if not isinstance(end, int):
        raise TokenizerError(
            f"a special token's id is {end!r} instead of one number; call check_tokenizer first"
        )
    return ResponseForm("", "", end_text=str(tokenizer.eos_token), end=end)


@lru_cache(maxsize=8)
def _probed_form(tokenizer: PreTrainedTokenizerBase, template: str, tokens: int, eos: str) -> ResponseForm:
    """The form of a response, read from how the template writes one; cached by all that it depends on."""
    closed, tail = _around(tokenizer, [])
    token = _first_token(tokenizer, tail)
    if token is None:  # some templates close a response only where another turn follows
        _, inner = _around(tokenizer, [QUESTION])
        if inner.lstrip().startswith(eos):
            token, tail = eos, inner
    if token is None and tail.strip():
        raise TokenizerError(
            f"the chat template ends a response with {tail.strip()[:40]!r}, which is not one token of this "
            "tokenizer; write {{ eos_token }} in its place in chat_template.jinja"
        )
    if token is None:
        plain = _plain_form(tokenizer)
        end, token = plain.end, plain.end_text
        after = ""
    else:
        end = _added(tokenizer)[token]
        after = tail[: len(tail) - len(tail.lstrip())]
    opened = write_template(tokenizer, [QUESTION], add_generation_prompt=True)
    before = closed[len(opened) :] if closed.startswith(opened) else ""
    spaced, _ = _around(tokenizer, [], f"\n {MARK} \n", with_mark=True)
    return ResponseForm(
        before if not before.strip() else "",
        after,
        end_text=token,
        end=end,
        strips_left=f"\n {MARK}" not in spaced,
        strips_right=f"{MARK} \n" not in spaced,
    )


def _around(
    tokenizer: PreTrainedTokenizerBase, rest: Messages, response: str = MARK, with_mark: bool = False
) -> tuple[str, str]:
    """What the template writes before and after a response; `with_mark` leaves the response in the first."""
    text = write_template(
        tokenizer, [QUESTION, {"role": "assistant", "content": response}, *rest], add_generation_prompt=False
    )
    if MARK not in text:
        raise TokenizerError(
            "the chat template does not write what an assistant says; put another chat_template.jinja into "
            "the checkpoint's folder"
        )
    before, _, after = text.rpartition(MARK)
    return (text, after) if with_mark else (before, after)


def _first_token(tokenizer: PreTrainedTokenizerBase, text: str) -> str | None:
    """The added token that the text begins with, after white space."""
    found = [token for token in _added(tokenizer) if text.lstrip().startswith(token)]
    return max(found, key=len, default=None)


def _added(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The tokens that are never split, and their ids."""
    added = {token.content: index for index, token in tokenizer.added_tokens_decoder.items()}
    return added | _special_tokens(tokenizer, len(tokenizer))
