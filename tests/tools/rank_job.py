"""Responses that call a tool on several ranks: what `tests/core/rank_jobs.py` compares with one process."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core import parallel_passes
from alignloop.core.sampler import OwnSampler
from alignloop.core.tokens import TokenRules, encode_response
from alignloop.core.tool_rollouts import Answer, ToolSampler
from alignloop.params.tools import ToolFunction, Tools
from alignloop.tools.toolbox import Toolbox, open_tools

COUNTED = """from alignloop.tools.definition import tool

@tool("count", "Counts.", {"type": "object"})
def count(place):
    with open(place, "a") as file:
        file.write("x")
    return "13"
"""


class Always:
    """Takes every turn that ended for a call of `count`."""

    def __init__(self, tools: Toolbox, call: list[int]) -> None:
        self.outcomes, self._tools, self._call = tools.outcomes, tools, call

    def is_call(self, turn: Sequence[int]) -> bool:
        return True

    def offered(self, prompt: Sequence[int]) -> bool:
        return True

    def not_offered(self) -> None:
        raise AssertionError

    def answer(self, turns: Sequence[Sequence[int]], prompts: Sequence[Sequence[int]]) -> list[Answer]:
        return self._tools.answer([self._call] * len(turns), prompts)


def tool_turns(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[list[int]], rules: TokenRules
) -> dict[str, Any]:
    """Turns dealt among the ranks, and answers of a tool that the first rank alone asks, once a call."""
    with TemporaryDirectory() as name:
        if parallel_passes.is_writer():
            (Path(name) / "own_tools").mkdir()
            (Path(name) / "own_tools" / "__init__.py").touch()
            (Path(name) / "own_tools" / "counted.py").write_text(COUNTED)
            (Path(name) / "asked").touch()
        root = Path(parallel_passes.agreed(name))
        settings = {"place": str(root / "asked")}
        function = ToolFunction(function="own_tools.counted:count", network=False, settings=settings)
        plan = Tools(functions=[function], max_calls=1, answer_tokens=80, timeout_s=20.0)
        with open_tools(plan, tokenizer, root) as tools:
            assert tools
            call = encode_response(tokenizer, tools.form.written("count", {}))
            sampler = OwnSampler()
            sampler.follow(model)
            drawn = ToolSampler(sampler, Always(tools, call), 1).draw(
                prompts,
                rules,
                temperature=1.0,
                max_new_tokens=6,
                generator=torch.Generator().manual_seed(0),
                batch=64,
            )
        asked = parallel_passes.agreed(len((root / "asked").read_text()))
    assert drawn.own
    assert asked == sum(not all(row) for row in drawn.own) > 0, "once for each call, by one process"
    return {"ids": drawn.ids, "own": drawn.own, "logprobs": drawn.logprobs, "asked": float(asked)}
