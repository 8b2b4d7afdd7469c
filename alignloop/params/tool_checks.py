"""Contradictions between `tools` and other sections of params.yaml; `contradictions.py` runs them."""

from collections.abc import Callable, Iterator, Mapping

from alignloop.params.ppo import Ppo
from alignloop.params.pretrain import Pretrain
from alignloop.params.rounds import Round
from alignloop.params.sample import Decoding
from alignloop.params.sft import Sft
from alignloop.params.tools import Tools


def _tools_fit(base: str | None, pretrain: Pretrain, decoding: Decoding, tools: Tools) -> Iterator[str]:
    longest = tools.longest(decoding.max_new_tokens)
    if base is None and tools.functions and longest >= pretrain.context:
        yield (
            f"tools: {tools.max_calls} calls with answers of {tools.answer_tokens} tokens make "
            f"responses of {longest}, which leave no room for a prompt in pretrain.context "
            f"({pretrain.context}); lower max_calls or answer_tokens, or raise the context"
        )


def _citations_have_a_search(ppo: Ppo, tools: Tools) -> Iterator[str]:
    if ppo.score == "reward" or tools.functions:
        return
    for name, part in ppo.score.items():
        if part.kind in ("citations", "quotes", "supported"):
            yield (
                f"ppo.score.{name}: {part.kind} is checked against what a search has shown, and no response "
                "can search; add the search to tools.functions, or leave the part out"
            )


def _calls_are_in_the_last_turn(sft: Sft, tools: Tools) -> Iterator[str]:
    if tools.functions and sft.assistant_turns == "all":
        yield (
            "sft.assistant_turns: all cannot be learned with tools, whose calls belong to the last turn; set "
            "it to last, or tools.functions to []"
        )


def _dpo_has_no_tools(tools: Tools, rounds: Mapping[str, Round]) -> Iterator[str]:
    if tools.functions:
        for name, plan in rounds.items():
            if plan.by == "dpo":
                yield (
                    f"rounds.{name}.by: dpo learns from what responses say in the end, not from how they "
                    "came to it, so it cannot learn to call tools; set by: ppo, or tools.functions to []"
                )


TOOL_CHECKS: tuple[Callable[..., Iterator[str]], ...] = (
    _tools_fit,
    _citations_have_a_search,
    _calls_are_in_the_last_turn,
    _dpo_has_no_tools,
)
