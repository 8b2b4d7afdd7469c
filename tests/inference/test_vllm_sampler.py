"""vLLM as a sampler, by the stub: it draws from the policy's distribution, and weights arrive."""

import copy
import json
import math
from typing import Any

import torch
from transformers import PreTrainedModel

from alignloop.core.generate import Responses
from alignloop.core.logprobs import per_token_logprobs
from alignloop.core.lora import add_adapters
from alignloop.core.sampler import OwnSampler, sampler_gap
from alignloop.core.tokens import TokenRules
from alignloop.inference.vllm_sampler import VllmSampler
from tests.inference.conftest import MakeSampler, MakeStub

OPTIONS: dict[str, Any] = {"temperature": 0.7, "max_new_tokens": 12, "batch": 64}


def draw(
    sampler: VllmSampler | OwnSampler, prompts: list[list[int]], rules: TokenRules, seed: int = 0
) -> Responses:
    return sampler.draw(prompts, rules, generator=torch.Generator().manual_seed(seed), **OPTIONS)


def moved(policy: PreTrainedModel, by: float, seed: int = 0) -> PreTrainedModel:
    """A copy of the policy a step further."""
    other, noise = copy.deepcopy(policy), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(by * torch.randn(weight.shape, generator=noise))
    return other


def test_log_probabilities_are_the_policys_at_the_temperature_and_over_allowed_tokens(
    serve: MakeStub,
    sampler: MakeSampler,
    policy: PreTrainedModel,
    prompts: list[list[int]],
    rules: TokenRules,
):
    mine = sampler(serve())
    mine.follow(policy)
    drawn = draw(mine, prompts, rules)
    assert drawn.sampler_logprobs
    assert sampler_gap(torch.cat(drawn.logprobs), torch.cat(drawn.sampler_logprobs)) < 1 + 1e-5
    expected = per_token_logprobs(policy, prompts, drawn.ids, rules, OPTIONS["temperature"])
    for one, other in zip(drawn.logprobs, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert drawn.ended == [row[-1] == rules.end for row in drawn.ids]
    assert all(ended or len(row) == 12 for ended, row in zip(drawn.ended, drawn.ids, strict=True))
    assert all(rules.allowed[token] for row in drawn.ids for token in row)


def test_it_draws_the_same_distribution_as_the_policy_itself(
    serve: MakeStub,
    sampler: MakeSampler,
    policy: PreTrainedModel,
    prompts: list[list[int]],
    rules: TokenRules,
):
    """The mean log-probability of a response's first token is that of own decoding, within four errors."""
    own, mine = OwnSampler(), sampler(serve())
    own.follow(policy)
    mine.follow(policy)
    firsts = [
        torch.stack([part[0] for part in draw(each, [prompts[0]] * 150, rules).logprobs])
        for each in (own, mine)
    ]
    error = math.sqrt(sum(float(part.var()) / len(part) for part in firsts))
    assert abs(float(firsts[0].mean() - firsts[1].mean())) < 4 * error
    assert 0 < error < 0.25


def test_a_rows_response_depends_on_its_seed_and_on_nothing_else(
    serve: MakeStub,
    sampler: MakeSampler,
    policy: PreTrainedModel,
    prompts: list[list[int]],
    rules: TokenRules,
):
    stub = serve()
    alone, together = sampler(stub, max_concurrency=1), sampler(stub, max_concurrency=8)
    alone.follow(policy)
    drawn = draw(alone, prompts, rules)
    together.follow(policy)
    assert draw(together, prompts[::-1], rules).ids != drawn.ids[::-1], "seeds go by rows"
    assert draw(together, prompts, rules).ids == drawn.ids
    requests = stub.requests("/v1/completions")[-len(prompts) :]
    assert len({body["seed"] for body in requests}) == len(prompts), "a request a row, a seed a row"
    assert sorted(body["prompt"] for body in requests) == sorted(prompts)
    assert draw(together, prompts, rules, seed=1).ids != drawn.ids


def test_a_request_states_what_a_server_could_take_from_the_checkpoint(
    serve: MakeStub,
    sampler: MakeSampler,
    policy: PreTrainedModel,
    prompts: list[list[int]],
    rules: TokenRules,
):
    stub = serve()
    mine = sampler(stub)
    mine.follow(policy)
    draw(mine, prompts, rules)
    body = stub.requests("/v1/completions")[-1]
    forbidden = (~rules.allowed).nonzero().flatten().tolist()
    stated: dict[str, Any] = {
        "model": "served",
        "n": 1,
        "temperature": 0.7,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": 12,
        "min_tokens": 0,
        "stop_token_ids": [rules.end],
        "ignore_eos": True,
        "logprobs": 0,
        "return_token_ids": True,
        "skip_special_tokens": False,
        "logit_bias": {str(token): -100 for token in forbidden},
    }
    assert forbidden
    assert {key: value for key, value in body.items() if key not in ("prompt", "seed")} == stated


def test_new_weights_arrive_with_their_head_and_under_their_name(
    serve: MakeStub,
    sampler: MakeSampler,
    policy: PreTrainedModel,
    prompts: list[list[int]],
    rules: TokenRules,
):
    stub = serve()
    mine = sampler(stub)
    for number in range(4):
        policy = moved(policy, 0.05, seed=number)
        mine.follow(policy)
        assert stub.reloads == number + 1
        drawn = draw(mine, prompts, rules, seed=number)
        assert drawn.sampler_logprobs
        assert sampler_gap(torch.cat(drawn.logprobs), torch.cat(drawn.sampler_logprobs)) < 1 + 1e-5
    paths = [path for path, _ in stub.asked if not path.startswith("/v1/")]
    assert paths[0] == "/version"
    synced = [
        "/collective_rpc",
        "/reset_prefix_cache",
        "/update_weight_version",
        "/weight_info",
        "/weight_info",
    ]
    assert paths[1:] == synced * 4, "asked again after the draw: nobody changed them meanwhile"
    names = [body["new_version"] for body in stub.requests("/update_weight_version")]
    assert len(set(names)) == 4
    rows = [
        json.dumps(body["prompt"]) for body in stub.requests("/v1/completions") if "prompt_logprobs" in body
    ]
    assert len(rows) == 4 * 8
    assert len(set(rows)) == 8, "the same eight rows each time"


def test_weights_that_did_not_change_are_no_reason_to_stop(
    serve: MakeStub,
    sampler: MakeSampler,
    policy: PreTrainedModel,
    prompts: list[list[int]],
    rules: TokenRules,
):
    """As in the first steps, in which the value model alone learns."""
    mine = sampler(serve())
    for _ in range(2):
        mine.follow(policy)
        assert len(draw(mine, prompts, rules).ids) == len(prompts)


def test_adapters_are_merged_on_the_way_and_stay_apart_in_the_policy(
    serve: MakeStub,
    sampler: MakeSampler,
    policy: PreTrainedModel,
    prompts: list[list[int]],
    rules: TokenRules,
):
    both = add_adapters(policy, rank=2, alpha=4, seed=0)
    with torch.no_grad():
        for name, weight in both.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5, generator=torch.Generator().manual_seed(1))
    mine = sampler(serve())
    mine.follow(policy)
    drawn = draw(mine, prompts, rules)
    assert drawn.sampler_logprobs
    assert sampler_gap(torch.cat(drawn.logprobs), torch.cat(drawn.sampler_logprobs)) < 1 + 1e-4
    assert any("lora_A" in name for name, _ in both.named_parameters())
