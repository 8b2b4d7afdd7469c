"""A prompt that tells the policy of its tools: in the chat template's own words, or in a system message."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from alignloop.core.chat_template import Messages, escape_special_tokens, write_template
from alignloop.core.tokens import encode, encode_prompt
from alignloop.tools.call_form import CallForm, knows_tools
from alignloop.tools.definition import Definition

WORDS = """You can call these tools, each described by a JSON schema:
{tools}
To call one, answer with nothing but {example}
The next message has its result in <tool_response></tool_response>."""
OFF = re.compile(r"\bbrowsing\s*:\s*disabled\b", re.IGNORECASE)  # in a system message: no tools are offered


def offered(
    tokenizer: PreTrainedTokenizerBase, messages: Messages, tools: Sequence[Definition], form: CallForm
) -> list[int]:
    """Token ids of a dialogue up to the assistant's next turn, with the tools.

    A system message that says `browsing: disabled` is obeyed: its prompt is as one without tools.
    """
    if not tools or is_off(messages):
        return encode_prompt(tokenizer, messages)
    schemas = [tool.as_schema() for tool in tools]
    if knows_tools(tokenizer):
        clean = [
            {"role": each["role"], "content": escape_special_tokens(tokenizer, each["content"])}
            for each in messages
        ]
        return encode(tokenizer, write_template(tokenizer, clean, True, schemas))
    return encode_prompt(tokenizer, with_tools(messages, schemas, form))


def is_off(messages: Messages) -> bool:
    """Whether the system message says `browsing: disabled`, in small or capital letters, with any spaces."""
    return any(message["role"] == "system" and OFF.search(message["content"]) for message in messages)


def with_tools(
    messages: Messages, schemas: Sequence[Mapping[str, Any]], form: CallForm
) -> list[Mapping[str, str]]:
    """The dialogue with the tools in its system message, where the template writes none."""
    described = "\n".join(json.dumps(schema["function"], ensure_ascii=False) for schema in schemas)
    words = WORDS.format(tools=described, example=form.example)
    if messages[0]["role"] == "system":
        words = f"{messages[0]['content']}\n\n{words}"
        messages = messages[1:]
    return [{"role": "system", "content": words}, *messages]
