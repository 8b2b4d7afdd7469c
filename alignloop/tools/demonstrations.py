"""Demonstrations that call tools, as rows that SFT learns from: the calls and the last turn."""

from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from alignloop.core.numeric_checks import MOST_NAMES
from alignloop.core.tokens import Encoded, encode_response
from alignloop.records import Demonstration
from alignloop.retrieval.citations import SEARCH
from alignloop.tool_turns import ToolCall, Turns
from alignloop.tools.offer import is_off
from alignloop.tools.responder import Responder
from alignloop.tools.schemas import ToolError
from alignloop.tools.toolbox import Toolbox
from alignloop.training.encoding import chat, demonstration_rows, fitting_demonstrations


def rows_with_tools(
    responder: Responder,
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[Demonstration],
    turns: str,
    context: int,
) -> tuple[list[Encoded], int]:
    """A row per demonstration, and how many were too long; without tools as `demonstration_rows`.

    Raises ToolError for all demonstrations whose calls nobody could answer, or nobody offers.
    """
    tools = responder.tools
    known = {each.name for each in tools.definitions} if tools else set()
    wanted = {call.name: each.id for each in reversed(demonstrations) for call in each.calls}
    if missing := sorted(wanted.keys() - known):
        calling = [each.id for each in demonstrations if any(call.name in missing for call in each.calls)]
        raise ToolError(
            f"tools.functions: there is no {' nor '.join(missing[:MOST_NAMES])}, which {len(calling)} "
            f"demonstrations call ({named(calling)}); add it, or leave them out"
        )
    off = [each.id for each in demonstrations if each.calls and is_off(chat(each.messages))]
    if off:
        raise ToolError(
            f"tools.functions: {len(off)} demonstrations ({named(off)}) call tools, and their system message "
            "says browsing: disabled; leave them out, or mend the system message"
        )
    if tools is None:
        return demonstration_rows(tokenizer, demonstrations, turns, context)
    return fitting_demonstrations(demonstrations, lambda each: encoded(tools, tokenizer, each), context)


def named(ids: Sequence[str]) -> str:
    """The first ids of many."""
    return f"{', '.join(ids[:MOST_NAMES])}{', …' if len(ids) > MOST_NAMES else ''}"


def encoded(tools: Toolbox, tokenizer: PreTrainedTokenizerBase, demonstration: Demonstration) -> Encoded:
    """A demonstration in the tokens that a response has, with the loss on its own: calls and last turn.

    Earlier turns of the assistant are not learned.
    """
    *asked, last = demonstration.messages
    ids = tools.encode_prompt(tokenizer, chat(asked))
    mask = [False] * len(ids)
    for call in demonstration.calls:
        turn = encode_response(tokenizer, tools.form.written(call.name, call.arguments))
        answer, _ = tools.answers.ids(call.result, call.name == SEARCH)
        ids += turn + answer
        mask += [True] * len(turn) + [False] * len(answer)
    said = encode_response(tokenizer, last.content)
    return replace(Encoded(ids + said, mask + [True] * len(said)), name=demonstration.id)


def calls_in(tools: Toolbox, turns: Turns) -> tuple[ToolCall, ...]:
    """The calls of a drawn response with their results. Raises BrokenCall for one that cannot be read."""
    pairs = zip(turns[::2], turns[1::2], strict=False)
    found = [(tools.form.read(turn.text), answer.text) for turn, answer in pairs]
    return tuple(
        ToolCall(name=call.name, arguments=dict(call.arguments), result=result) for call, result in found
    )
