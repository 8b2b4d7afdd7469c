"""What a chat template does with turns: systems, several turns, tools, default prompts, dates, BOS."""

import re
from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedTokenizerBase

from alignloop.checks.findings import Finding, error
from alignloop.core.chat_template import TokenizerError, render, special_tokens
from alignloop.core.tokens import encode_prompt

MARK = "alignloop7system"
USER = {"role": "user", "content": "Who painted the door?"}
ASSISTANT = {"role": "assistant", "content": "Ada painted it."}
SYSTEM = {"role": "system", "content": MARK}
AGAIN = {"role": "user", "content": "And when?"}
CALL: list[dict[str, Any]] = [
    USER,
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "type": "function",
                "function": {"name": "painters", "arguments": {"of": "door"}},
                "id": "abc123def",
            }
        ],
    },
    {"role": "tool", "name": "painters", "content": "Ada", "tool_call_id": "abc123def"},
]


def check_turns(tokenizer: PreTrainedTokenizerBase) -> Iterator[Finding]:
    """What the template renders, and what it adds of its own."""
    try:
        render(tokenizer, [USER, ASSISTANT, AGAIN], add_generation_prompt=True)
        yield Finding("template", "ok", "renders dialogues of several turns")
    except TokenizerError as fault:
        yield error("template", fault)
    yield from _system(tokenizer)
    yield from _tools(tokenizer)
    yield from _dates(tokenizer)
    yield from _begin(tokenizer)


def _system(tokenizer: PreTrainedTokenizerBase) -> Iterator[Finding]:
    try:
        with_system = render(tokenizer, [SYSTEM, USER], add_generation_prompt=True)
    except TokenizerError:
        with_system = ""
    if MARK not in with_system:
        yield Finding(
            "template",
            "warning",
            "system turns are refused or left out by the template",
            "leave such records out, or put a chat_template.jinja that renders them into the folder",
        )
        return
    plain = render(tokenizer, [USER], add_generation_prompt=True)
    if added := default_prompt(tokenizer, plain.partition(USER["content"])[0], with_system.partition(MARK)):
        yield Finding(
            "template",
            "note",
            f"the template adds a system prompt where a dialogue has none: {added[:80]!r}",
            "nothing: it is in every row, learned or drawn; a system turn of your own replaces it",
        )
    else:
        yield Finding("template", "ok", "renders system turns, and adds no system prompt of its own")


def default_prompt(tokenizer: PreTrainedTokenizerBase, before: str, around: tuple[str, str, str]) -> str:
    """The system prompt that stands `before` the first user's words where a dialogue brings none, or "".

    `around` is what stands before and after a system prompt that is given.
    """
    opening, _, rest = around
    closing = rest.partition(USER["content"])[0]
    if opening and before.startswith(opening) and before.endswith(closing):
        return before[len(opening) : len(before) - len(closing)].strip()
    for token in sorted(special_tokens(tokenizer), key=len, reverse=True):
        before = before.replace(token, " ")
    words = re.sub(
        r"<[^<>\s]*>|\b(system|user|assistant|human)\b|\[/?\w+\]|[#*:|\W]+", " ", before, flags=re.I
    )
    return before.strip() if len(words.split()) > 2 else ""


def _tools(tokenizer: PreTrainedTokenizerBase) -> Iterator[Finding]:
    try:
        text = str(tokenizer.apply_chat_template(CALL, tokenize=False))
    except Exception:  # a template is a program: it may refuse such turns in any way
        text = ""
    if "painters" in text and "Ada" in text:
        yield Finding("template", "ok", "renders tool turns, which are learned with tools.functions")
        return
    remedy = "nothing: with tools.functions, calls and answers are written in a form of our own"
    yield Finding("template", "note", "tool turns are not rendered", remedy)


def _dates(tokenizer: PreTrainedTokenizerBase) -> Iterator[Finding]:
    if "strftime_now" in str(tokenizer.chat_template):
        yield Finding(
            "template",
            "warning",
            "the template writes today's date: rows, and so results, differ from day to day",
            "write a fixed date in its place in chat_template.jinja",
        )


def _begin(tokenizer: PreTrainedTokenizerBase) -> Iterator[Finding]:
    """How often the token that begins a text stands at the beginning of a row."""
    begin = tokenizer.bos_token_id
    if not isinstance(begin, int):
        return
    ids = encode_prompt(tokenizer, [USER])
    count = next((place for place, token in enumerate(ids) if token != begin), len(ids))
    if count > 1:
        yield Finding(
            "BOS",
            "error",
            f"a row begins with {count} BOS tokens ({tokenizer.bos_token})",
            "write {{ bos_token }} once in chat_template.jinja",
        )
    elif count:
        yield Finding("BOS", "ok", f"a row begins with one {tokenizer.bos_token}, the template's")
    elif tokenizer("a")["input_ids"][:1] == [begin]:
        yield Finding(
            "BOS",
            "note",
            f"the tokenizer would add {tokenizer.bos_token}, and the template writes none: rows have none",
            "nothing, if the model was trained so; else write {{ bos_token }} at the template's beginning",
        )
