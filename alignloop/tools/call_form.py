"""How a chat template writes a call of a tool, and how a turn that makes one is read.

A call is a JSON object with a name and arguments between two marks. Which marks, and whether arguments are
called `arguments` or `parameters`, is read from the template; where it writes no calls, as the built-in one,
they are `<tool_call>` and `</tool_call>`, as in Hermes and Qwen.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from alignloop.core.chat_template import QUESTION, response_form, special_tokens, write_template
from alignloop.tools.schemas import ToolError

OPEN, CLOSE = "<tool_call>", "</tool_call>"
NAME = "alpha7probe"
ARGUMENT, VALUE = "beta7probe", "gamma7probe"
PROBE = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "A probe.",
        "parameters": {"type": "object", "properties": {ARGUMENT: {"type": "string", "description": "One."}}},
    },
}
KEYS = ("arguments", "parameters")


class BrokenCall(Exception):
    """Why a call cannot be read, in words for the model."""


@dataclass(frozen=True)
class Call:
    """The tool's name, its arguments, and whether more calls follow in the same turn."""

    name: str
    arguments: Mapping[str, Any]
    more: bool = False


@dataclass(frozen=True)
class CallForm:
    """The marks around a call, and the name of its arguments. With no first mark a call is all of a turn."""

    before: str = OPEN
    after: str = CLOSE
    key: str = "arguments"

    def is_call(self, text: str) -> bool:
        """Whether a turn makes a call, right or wrong."""
        if self.before:
            return self.before in text
        return text.lstrip().startswith("{") and '"name"' in text

    def read(self, text: str) -> Call:
        """The first call of a turn that makes one. Raises BrokenCall."""
        rest = (text.partition(self.before)[2] if self.before else text).lstrip()
        try:
            found, end = json.JSONDecoder(parse_constant=_refuse).raw_decode(rest)
        except (ValueError, RecursionError):
            raise BrokenCall(f"the call is not JSON: write {self.example}") from None
        if not isinstance(found, dict) or not isinstance(found.get("name"), str):
            raise BrokenCall(f"the call names no tool: write {self.example}")
        arguments = found.get(self.key, {})
        if not isinstance(arguments, dict):
            raise BrokenCall(f"{self.key} must be a JSON object: write {self.example}")
        rest = rest[end:].lstrip()
        if self.after and not rest.startswith(self.after):
            raise BrokenCall(f"the call must end with {self.after}: write {self.example}")
        more = bool(self.before) and self.before in rest
        return Call(found["name"], arguments, more)

    @property
    def example(self) -> str:
        """The form of a call, for messages and prompts."""
        return f'{self.before}{{"name": "…", "{self.key}": {{…}}}}{self.after}'

    def written(self, name: str, arguments: Mapping[str, Any]) -> str:
        """A call as a turn's text."""
        body = json.dumps({"name": name, self.key: dict(arguments)}, ensure_ascii=False)
        return f"{self.before}\n{body}\n{self.after}" if self.before else body


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def knows_tools(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template writes the tools into the prompt."""
    return NAME in write_template(tokenizer, [QUESTION], True, [PROBE])


def call_form(tokenizer: PreTrainedTokenizerBase) -> CallForm:
    """The form of a call by the tokenizer's chat template.

    Raises ToolError where it writes calls in another form than JSON, or with tokens that no response may
    contain.
    """
    if not knows_tools(tokenizer):
        return CallForm()
    asked: list[Any] = [QUESTION]
    call = {"type": "function", "function": {"name": NAME, "arguments": {ARGUMENT: VALUE}}}
    answered: list[Any] = [*asked, {"role": "assistant", "content": "", "tool_calls": [call]}]
    opened = write_template(tokenizer, asked, True, [PROBE])
    whole = write_template(tokenizer, answered, False, [PROBE])
    text = whole[len(opened) :] if whole.startswith(opened) else whole[len(_shared(opened, whole)) :]
    text = text.partition(response_form(tokenizer).end_text)[0]
    form = _form(text)
    if form is None:
        raise ToolError(
            f"tools: the chat template writes a call as {text.strip()[:80]!r}, and only a JSON object "
            "with name and arguments can be read; give the checkpoint's folder another chat_template.jinja"
        )
    forbidden = [token for token in special_tokens(tokenizer) if token in form.before + form.after]
    if forbidden:
        raise ToolError(
            f"tools: the chat template writes {forbidden[0]} around a call, a special token, which no "
            "response may contain; put a chat_template.jinja without it into the checkpoint's folder"
        )
    return form


def _form(text: str) -> CallForm | None:
    """The form of the call that a template has written, if it is JSON between two marks."""
    start = text.find("{")
    try:
        found, end = json.JSONDecoder().raw_decode(text[start:] if start >= 0 else "")
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("name") != NAME:
        return None
    for key in KEYS:
        if found.get(key) == {ARGUMENT: VALUE}:
            return CallForm(text[:start].strip(), text[start + end :].strip(), key)
    return None


def _shared(one: str, other: str) -> str:
    """The beginning that both have."""
    length = next(
        (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one)
    )
    return one[:length]
