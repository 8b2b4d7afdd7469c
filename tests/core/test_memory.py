"""Memory savings: gradient checkpointing changes no gradient, bf16 stays near fp32, a value head shares the
trunk.
"""

import copy
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core import parallel_passes, precision
from alignloop.core.gradient_checkpointing import recompute_activations
from alignloop.core.lm_training import accumulate_gradients
from alignloop.core.logprobs import response_logprobs
from alignloop.core.models import load_policy, save_policy, vocabulary_of
from alignloop.core.precision import freeze
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score
from alignloop.core.tokens import Encoded, TokenRules
from alignloop.errors import AlignloopError
from tests.core.bandit import Run


@contextmanager
def bf16() -> Iterator[None]:
    """Passes in bf16 inside the block."""
    precision.use("bf16")
    try:
        yield
    finally:
        precision.use("fp32")


ROWS = [Encoded([9, 30, 40, 50, 60, 1], [True] * 6), Encoded([9, 50, 7, 1], [True] * 4)]


def saved_for_backward(model: PreTrainedModel) -> tuple[int, Tensor]:
    """The bytes saved for the backward pass, and the gradient."""
    held: dict[int, int] = {}
    own = {weight.data_ptr() for weight in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            held[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        accumulate_gradients(model, ROWS, 0)
    return sum(held.values()), torch.cat(
        [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    )


@pytest.mark.parametrize("family", ["policy", "gpt2"])
def test_gradient_checkpointing_changes_no_bit_of_the_gradient_and_saves_memory(
    family: str, request: pytest.FixtureRequest
):
    model: PreTrainedModel = request.getfixturevalue(family)
    plain, twice = copy.deepcopy(model), copy.deepcopy(model)
    recompute_activations(twice)
    passes: list[int] = []
    for layer in twice.modules():
        if type(layer).__name__.endswith("MLP"):
            layer.register_forward_pre_hook(lambda *_: passes.append(1))
    saved, gradient = saved_for_backward(plain)
    fewer, same = saved_for_backward(twice)
    assert torch.equal(gradient, same)
    assert fewer < saved / 2
    assert len(passes) == 2 * model.config.num_hidden_layers, "each layer ran once more, in the backward pass"


def test_a_run_with_gradient_checkpointing_is_the_same_run(run: Run, other: Run):
    for model in (other.policy, other.value.trunk):
        recompute_activations(model)
    one, two = run.steps(steps=2), other.steps(steps=2)
    assert [step.metrics for step in one] == [step.metrics for step in two]
    assert torch.equal(run.weights(), other.weights())


def test_a_family_without_gradient_checkpointing_is_refused(policy: PreTrainedModel):
    bare = copy.deepcopy(policy)
    bare.base_model.layers = torch.nn.ModuleList()
    with pytest.raises(AlignloopError, match=r"llama: .* set compute.gradient_checkpointing to false"):
        recompute_activations(bare)


@pytest.mark.parametrize("count", [1, 2])
def test_bf16_changes_products_and_leaves_weights_gradients_and_logprobs_in_fp32(
    run: Run, other: Run, count: int
):
    plan: dict[str, Any] = {"steps": 2, "minibatches": 1, "max_new_tokens": 5, "learning_rate": 1e-4}
    run.ptx = other.ptx = ROWS
    fine = run.steps(**plan, ptx_coef=1.0)
    parallel_passes.use(count)
    with bf16():
        coarse = other.steps(**plan, ptx_coef=1.0)
    parallel_passes.use(1)
    assert {weight.dtype for weight in other.policy.parameters()} == {torch.float32}
    first, again = fine[0].metrics, coarse[0].metrics
    assert 1e-5 < coarse[0].metrics["ratio_distance"] < 0.05, (
        "sampling and training agree to the precision of eight bits"
    )
    assert again["ptx_loss"] != first["ptx_loss"]
    assert again["ptx_loss"] == pytest.approx(first["ptx_loss"], rel=0.02)
    assert again["entropy"] == pytest.approx(first["entropy"], rel=0.1)


@pytest.mark.parametrize("threads", [1, 2])
def test_passes_alone_use_the_precision_of_the_process(threads: int):
    def kinds() -> set[torch.dtype]:
        product = lambda _: (torch.ones(2, 2) @ torch.ones(2, 2)).dtype  # noqa: E731
        found = set[torch.dtype]()
        for kind in parallel_passes.in_parallel(product, [1, 2, 3]):
            assert product(0) == torch.float32, "between two passes"
            found.add(kind)
        return found

    parallel_passes.use(threads)
    with bf16():
        assert kinds() == {torch.bfloat16}
    assert kinds() == {torch.float32}
    parallel_passes.use(1)


@pytest.mark.parametrize("family", ["policy", "gpt2"])
def test_a_frozen_model_has_the_same_bits_in_bf16_passes_and_takes_less_memory(
    family: str, request: pytest.FixtureRequest
):
    model: PreTrainedModel = copy.deepcopy(request.getfixturevalue(family))
    rows = [row.ids for row in ROWS]
    prompts, responses = [row[:2] for row in rows], [row[2:] for row in rows]
    rules = TokenRules(torch.ones(vocabulary_of(model), dtype=torch.bool), 1, 0)
    with bf16():
        before = response_logprobs(model, prompts, responses, rules, 1.0)
        size = sum(weight.nbytes for weight in model.parameters())
        assert freeze(model) is model
        assert torch.equal(response_logprobs(model, prompts, responses, rules, 1.0), before)
    embedding = model.get_input_embeddings().weight
    linear = sum(weight.nbytes for weight in model.parameters() if weight.dtype == torch.bfloat16)
    assert embedding.dtype == torch.float32
    assert sum(weight.nbytes for weight in model.parameters()) == size - linear
    assert linear > 0.1 * size
    assert not any(weight.requires_grad for weight in model.parameters())


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/maps is Linux's")
def test_a_frozen_model_in_bf16_does_not_keep_the_file_of_its_weights_mapped(
    policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    def mapped() -> bool:
        return str(tmp_path) in Path("/proc/self/maps").read_text(encoding="utf-8")

    save_policy(policy, tokenizer, tmp_path)
    model, _ = load_policy(tmp_path)
    with bf16():
        freeze(model)
    gc.collect()
    assert not mapped(), "its embeddings, which stay fp32, are a few bytes of the file"


def test_in_fp32_a_frozen_model_keeps_its_weights(policy: PreTrainedModel):
    model = freeze(copy.deepcopy(policy))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_a_frozen_reward_model_scores_in_fp32_from_the_same_states(run: Run):
    assert run.value is not None
    model, rows = copy.deepcopy(run.value), [row.ids for row in ROWS]
    with bf16():
        before = score(model, rows, 0)
        assert torch.equal(score(model.frozen(), rows, 0), before)
    assert before.dtype == torch.float32
    assert model.head.weight.dtype == torch.float32
    assert not torch.equal(before.to(torch.bfloat16).float(), before), "more than the eight bits of bf16"


def test_a_value_head_on_the_policys_trunk_needs_no_extra_pass_and_learns(run: Run, other: Run):
    run.value = RewardModel.on_trunk_of(run.policy)
    assert run.value.trunk is run.policy.base_model
    passes: list[bool] = []
    run.policy.base_model.register_forward_pre_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    [step] = run.steps(minibatches=1, max_new_tokens=3)
    learning = sum(passes)
    passes.clear()
    other.policy.base_model.register_forward_pre_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    other.steps(minibatches=1, max_new_tokens=3)
    assert learning == sum(passes) > 0, "in training, policy and value use the same pass"
    assert step.metrics["explained_variance"] == pytest.approx(0, abs=1e-6), (
        "a head of zeros predicts a constant"
    )
    run.policy.base_model._forward_pre_hooks.clear()
    steps = run.steps(
        steps=8, epochs=4, learning_rate=1e-4, value_learning_rate=1e-2, value_clip=10.0, max_new_tokens=3
    )
    assert steps[-1].metrics["value_loss"] < 0.65 * steps[0].metrics["value_loss"]


def test_on_a_shared_trunk_the_gradients_of_policy_and_value_are_added_once(run: Run, other: Run):
    """With a value coefficient of 0 the trunk's gradient is the policy's only."""

    def gradient(of: Run, value: RewardModel, value_coef: float) -> Tensor:
        of = copy.deepcopy(of)
        of.value = RewardModel.on_trunk_of(of.policy) if value is run.value else copy.deepcopy(value)
        with torch.no_grad():
            of.value.head.weight.fill_(0.1)
            of.value.head.bias.zero_()
        [total] = of.gradients(minibatches=1, value_coef=value_coef)
        return total

    none, once, twice = (gradient(run, run.value, coef) for coef in (0.0, 1.0, 2.0))
    torch.testing.assert_close(none, gradient(run, other.value, 1.0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(twice - none, 2 * (once - none), atol=1e-4, rtol=1e-3)
    assert (once - none).abs().max() > 1e-3


def test_while_a_head_on_the_trunk_warms_up_the_trunk_does_not_change(run: Run):
    run.value = RewardModel.on_trunk_of(run.policy)
    before = run.weights()
    run.steps(steps=1, value_warmup_steps=1)
    assert torch.equal(run.weights(), before)
    assert run.value.head.weight.abs().max() > 0
