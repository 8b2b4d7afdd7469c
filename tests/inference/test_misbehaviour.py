"""A server that does not do what it is asked to is refused by name, before anything is learned from it."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core.models import load_policy, new_policy, save_policy, token_rules
from alignloop.core.tokens import TokenRules
from alignloop.inference.http_client import KEY_VARIABLE, SamplerError
from alignloop.inference.vllm_sampler import VllmSampler
from tests.inference.conftest import MakeSampler, MakeStub
from tests.inference.stub_server import Stub, nan_logprobs
from tests.inference.test_vllm_sampler import draw, moved


class Case:
    """A policy, prompts and rules, and a sampler with a stub that misbehaves."""

    def __init__(
        self,
        serve: MakeStub,
        sampler: MakeSampler,
        policy: PreTrainedModel,
        prompts: list[list[int]],
        rules: TokenRules,
    ) -> None:
        self.serve, self.sampler, self.policy = serve, sampler, policy
        self.prompts, self.rules = prompts, rules

    def __call__(self, stub: Stub, **options: Any) -> VllmSampler:
        mine = self.sampler(stub, **options)
        mine.follow(self.policy)
        draw(mine, self.prompts, self.rules)
        return mine

    def refused(self, said: str, **faults: Any) -> str:
        """What is said of a stub with these faults, which must have this in it."""
        stub = self.serve(**faults)
        with pytest.raises(SamplerError) as told:
            self(stub)
        message = str(told.value)
        assert message.startswith(f"{stub.url}: ")
        assert said in message
        return message


@pytest.fixture
def case(
    serve: MakeStub,
    sampler: MakeSampler,
    policy: PreTrainedModel,
    prompts: list[list[int]],
    rules: TokenRules,
) -> Case:
    return Case(serve, sampler, policy, prompts, rules)


@pytest.mark.parametrize("version", ["0.29.1", "0.31.0", "0.3.0", "1.30.0", ""])
def test_another_version_is_refused(case: Case, version: str):
    message = case.refused("0.30.x is required", version=version)
    assert f"it is vLLM {version or 'without a version'}" in message
    assert "install vllm==0.30.*" in message


@pytest.mark.parametrize("version", ["0.30.0", "0.30.2+cpu"])
def test_the_pinned_version_is_accepted(case: Case, version: str):
    case(case.serve(version=version))


@pytest.mark.parametrize("step", [0.05, 1e-3])
def test_a_head_that_stays_the_old_one_is_found_at_the_next_weights(case: Case, step: float):
    mine = case(case.serve(keeps="lm_head", keeps_from=1))
    mine.follow(moved(case.policy, step))
    with pytest.raises(
        SamplerError, match=r"weights 2: it did not take over the new weights: .* \d+% arrived"
    ):
        draw(mine, case.prompts, case.rules)


def test_weights_that_all_stay_the_old_ones_are_found_even_after_a_small_step(case: Case):
    """The gap of what is drawn would not tell: it stays far below `max_gap`."""
    mine = case(case.serve(keeps="", keeps_from=1), max_gap=1.5)
    mine.follow(moved(case.policy, 1e-3))
    with pytest.raises(SamplerError, match=r"of 8 fixed rows, -?\d% arrived"):
        draw(mine, case.prompts, case.rules)


def test_other_weights_are_refused(case: Case, folder: Path, tmp_path: Path):
    """A server on another checkpoint of the same shape, which says yes to new weights and keeps its own."""
    other, tokenizer = load_policy(folder)
    save_policy(moved(other, 0.3), tokenizer, tmp_path / "other")
    stub = case.serve(tmp_path / "other", keeps="")
    with pytest.raises(SamplerError, match=r"it has other weights: on 8 fixed rows .* same architecture"):
        case(stub)


def test_a_model_of_another_vocabulary_is_refused_with_the_servers_words(
    case: Case, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    model = new_policy(tokenizer, layers=1, width=16, heads=2, context=96, seed=0)
    model.resize_token_embeddings(len(tokenizer) + 8)
    save_policy(model, tokenizer, tmp_path / "larger")
    stub = case.serve(tmp_path / "larger")
    with pytest.raises(
        SamplerError, match=r"weights 1: it reads them from .*: status 500: .*\(308, 16\).* same architecture"
    ):
        case(stub)


def test_raw_log_probabilities_are_named_even_at_temperature_1(case: Case):
    message = case.refused("its log-probabilities are raw", raw=True)
    assert "--logprobs-mode processed_logprobs" in message


def test_another_temperature_is_another_distribution(case: Case):
    message = case.refused("it draws from another distribution than the policy", temperature=1.3)
    assert "over rollout.max_gap (1.05)" in message


def test_one_seed_for_all_is_named(case: Case):
    case.refused("equal prompts got equal responses, although each request has a seed", shared_seed=True)


def test_nan_log_probabilities_are_refused(case: Case):
    case.refused("log-probabilities must be finite", change=nan_logprobs)


def cut(choice: dict[str, Any]) -> dict[str, Any]:
    """A response without its last token, as an aborted request has it."""
    if choice.get("logprobs") and len(choice["token_ids"]) > 1:
        choice["token_ids"].pop()
        choice["logprobs"]["token_logprobs"].pop()
        choice["finish_reason"] = "abort"
    return choice


def fewer_logprobs(choice: dict[str, Any]) -> dict[str, Any]:
    if choice.get("logprobs"):
        choice["logprobs"]["token_logprobs"].pop()
    return choice


def another_prompt(choice: dict[str, Any]) -> dict[str, Any]:
    return {**choice, "prompt_token_ids": choice["prompt_token_ids"][1:]}


def unscored(choice: dict[str, Any]) -> dict[str, Any]:
    return {**choice, "prompt_logprobs": None}


def forbidden(choice: dict[str, Any]) -> dict[str, Any]:
    if choice.get("logprobs"):
        choice["token_ids"][0] = 3  # a role's token
    return choice


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut, "without the end token (finish_reason 'abort')"),
        (fewer_logprobs, "log-probabilities came with"),
        (lambda choice: {**choice, "logprobs": None}, "no log-probabilities came with"),
        (another_prompt, "it is about another prompt: ["),
        (unscored, "prompt_logprobs is None"),
        (forbidden, "token 3 was drawn, which no response may contain"),
    ],
)
def test_a_reply_that_is_not_what_was_asked_for_is_refused(case: Case, change: Any, said: str):
    message = case.refused(said, change=change)
    assert " of 8: " in message, "it says which row"


@pytest.mark.parametrize(
    ("choices", "said"), [(0, "0 responses came, 1 was"), (2, "2 responses came, 1 was")]
)
def test_a_truncated_batch_is_refused(case: Case, choices: int, said: str):
    case.refused(said, choices=choices)


def test_a_proxys_page_is_no_reply(case: Case):
    case.refused("the reply is no JSON", no_json=True)


def test_a_busy_server_is_asked_again_with_the_same_row_and_seed(case: Case):
    calm = case.sampler(quiet := case.serve())
    calm.follow(case.policy)
    expected = draw(calm, case.prompts, case.rules)
    stub = case.serve(statuses=[429, 503, 500] * 2, drop=2)
    mine = case.sampler(stub)
    mine.follow(case.policy)
    drawn = draw(mine, case.prompts, case.rules)
    assert drawn.ids == expected.ids
    path = "/v1/completions"
    assert len(stub.requests(path)) == len(quiet.requests(path)) + 8
    assert {str(body) for body in stub.requests(path)} == {str(body) for body in quiet.requests(path)}


def test_a_server_that_stays_busy_ends_the_stage(case: Case):
    message = case.refused("status 500: ", statuses=[500] * 100)
    assert "scoring fixed row" in message
    assert "the engine is busy" in message
    assert "4 times" in message
    assert "run again: finished steps are kept" in message


def test_a_server_gone_in_mid_step_is_named_with_what_was_being_done(case: Case):
    stub = case.serve()
    mine = case(stub)
    stub.faults.gone_after = stub.drawn + 5
    with pytest.raises(SamplerError) as told:
        draw(mine, case.prompts, case.rules)
    assert "drawing response" in str(told.value)
    assert "of 12: the connection failed" in str(told.value)
    assert "restart it or correct rollout.url, and run again" in str(told.value)


@pytest.mark.parametrize("faults", [{"drip_s": 0.2}, {"hang_s": 60.0}], ids=["drips", "hangs"])
def test_a_slow_death_ends_within_the_time_for_a_reply(case: Case, faults: dict[str, float]):
    stub = case.serve()
    mine = case(stub, timeout_s=3)
    for name, value in faults.items():
        setattr(stub.faults, name, value)
    began = time.monotonic()
    with pytest.raises(SamplerError, match=r"drawing response .*: no complete reply within 3 s"):
        draw(mine, case.prompts, case.rules)
    assert time.monotonic() - began < 20


def test_another_process_on_the_same_server_is_found(case: Case):
    stub = case.serve()
    one = case(stub)
    case(stub)
    with pytest.raises(SamplerError, match="another process uses the same server"):
        draw(one, case.prompts, case.rules)


def test_weights_that_change_between_two_responses_are_found(case: Case):
    case.refused("they are called 'default', not 'alignloop-", own_version="default")


def test_rows_longer_than_the_servers_are_refused_before_any_is_drawn(case: Case):
    case.prompts = [case.prompts[-1]] * 4
    longest = len(case.prompts[0]) + 12
    case(case.serve(longest=longest))
    message = case.refused(f"(--max-model-len) has {longest - 1} tokens", longest=longest - 1)
    assert "start it with a longer one" in message


def test_a_server_without_the_routes_for_weights_is_told_how_to_have_them(case: Case):
    case.refused("VLLM_SERVER_DEV_MODE=1", dev_mode=False)


def test_the_key_is_sent_and_stands_in_no_message(case: Case, monkeypatch: pytest.MonkeyPatch):
    stub = case.serve(key="right-key")
    assert KEY_VARIABLE in case.refused("status 401", key="right-key")
    monkeypatch.setenv(KEY_VARIABLE, "a-wrong-key")
    with pytest.raises(SamplerError) as told:
        case(stub)
    assert KEY_VARIABLE in str(told.value)
    assert "a-wrong-key" not in str(told.value)
    monkeypatch.setenv(KEY_VARIABLE, "right-key")
    case(stub)
    assert stub.keys[-1] == "Bearer right-key"


def test_nobody_at_the_address_is_told_at_once(case: Case):
    stub = case.serve()
    stub.shutdown()
    stub.server_close()
    with pytest.raises(SamplerError, match=r"asking for its version: the connection failed .*, 4 times"):
        case(stub)


def test_a_vocabulary_of_very_many_forbidden_tokens_is_named_the_shorter_way(
    case: Case, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    """More than a request may name: then the allowed ones are; where both are too many, it is refused."""
    model = new_policy(tokenizer, layers=1, width=16, heads=2, context=96, seed=0)
    model.resize_token_embeddings(len(tokenizer) + 2000)
    save_policy(model, tokenizer, tmp_path / "padded")
    case.policy = load_policy(tmp_path / "padded")[0]
    case.rules = token_rules(tokenizer, case.policy)
    stub = case.serve(tmp_path / "padded")
    case(stub)
    body = stub.requests("/v1/completions")[-1]
    assert "logit_bias" not in body
    assert body["allowed_token_ids"] == case.rules.allowed.nonzero().flatten().tolist()
    allowed = torch.ones(len(case.rules.allowed), dtype=torch.bool)
    allowed[:1100] = False
    case.rules = TokenRules(allowed, case.rules.end, case.rules.pad)
    with pytest.raises(
        SamplerError, match=r"at most 1,024 forbidden tokens .* 1,100 .* set rollout\.engine: own"
    ):
        case(stub)
