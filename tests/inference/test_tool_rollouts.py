"""Responses that call tools through a server: turns are drawn there as they are here."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from alignloop.core.logprobs import per_token_logprobs
from alignloop.core.tokens import TokenRules
from alignloop.core.tool_rollouts import Answer, ToolSampler
from tests.inference.conftest import MakeSampler, MakeStub

OPTIONS: dict[str, Any] = {"temperature": 0.8, "max_new_tokens": 6, "batch": 8}


class Even:
    """A turn that begins with an even token is a call."""

    outcomes = ("answered",)

    def is_call(self, turn: Sequence[int]) -> bool:
        return turn[0] % 2 == 0

    def offered(self, prompt: Sequence[int]) -> bool:
        return True

    def not_offered(self) -> None:
        raise AssertionError

    def answer(self, turns: Sequence[Sequence[int]], prompts: Sequence[Sequence[int]]) -> list[Answer]:
        return [Answer([3, 40 + len(turn), 4], "answered") for turn in turns]


def test_a_server_draws_the_turns_of_a_response_with_a_seed_of_its_own_each(
    policy: PreTrainedModel,
    prompts: list[list[int]],
    rules: TokenRules,
    serve: MakeStub,
    sampler: MakeSampler,
):
    few = torch.zeros_like(rules.allowed)
    few[[rules.end, 20, 21, 22, 24]] = True  # so that turns end and begin with even tokens often
    rules = TokenRules(few, rules.end, rules.pad)
    made = ToolSampler(sampler(serve()), Even(), max_calls=2)
    made.follow(policy)
    drawn = made.draw(prompts, rules, generator=torch.Generator().manual_seed(0), **OPTIONS)
    assert drawn.own
    assert drawn.sampler_logprobs
    assert drawn.counts["tool_answered"] > 3
    assert any(own.count(False) == 6 for own in drawn.own), "some call twice"
    whole = per_token_logprobs(policy, prompts, drawn.ids, rules, 0.8)
    for mine, its, row, own in zip(drawn.logprobs, drawn.sampler_logprobs, whole, drawn.own, strict=True):
        torch.testing.assert_close(mine, row[torch.tensor(own)], atol=1e-4, rtol=0)
        torch.testing.assert_close(its, mine, atol=1e-4, rtol=0)
    again = made.draw(prompts, rules, generator=torch.Generator().manual_seed(0), **OPTIONS)
    assert again.ids == drawn.ids
