"""LoRA adapters: no effect before training, all else frozen, off for the reference, merged at the end."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core.logprobs import response_logprobs
from alignloop.core.lora import adapters_off, add_adapters, merge_adapters, merged_weights
from alignloop.core.models import load_policy, logits_at, save_policy
from tests.core.bandit import Run

PLAN: dict[str, Any] = {
    "steps": 4,
    "epochs": 2,
    "learning_rate": 1e-2,
    "missing_eos_score": None,
    "max_new_tokens": 3,
}


def adapted(run: Run, as_reference: bool = True) -> PeftModel:
    """Add adapters to the run's policy; with them off it is the reference, if `as_reference`."""
    both = add_adapters(run.policy, rank=4, alpha=8, seed=0)
    if as_reference:
        run.reference = both
    return both


def logits(model: PreTrainedModel) -> torch.Tensor:
    ids = torch.tensor([[3, 20, 30, 40, 4]])
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    return logits_at(model, ids, everywhere, everywhere).detach()


@pytest.mark.parametrize("family", ["policy", "gpt2"])
def test_new_adapters_change_no_logit_and_depend_on_their_seed_only(
    family: str, request: pytest.FixtureRequest
):
    model: PreTrainedModel = request.getfixturevalue(family)
    one, two, other = (copy.deepcopy(model) for _ in range(3))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    add_adapters(one, 4, 8, seed=1)
    assert torch.equal(torch.rand(3), expected), "the caller's random number stream is unchanged"
    assert torch.equal(logits(one), logits(model))
    weights = [
        [w.detach() for w in m.parameters() if w.requires_grad]
        for m in (one, add_adapters(two, 4, 8, 1), add_adapters(other, 4, 8, 2))
    ]
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))


def test_an_adapter_adds_the_product_of_its_matrices_times_alpha_over_rank(policy: PreTrainedModel):
    both = add_adapters(copy.deepcopy(policy), rank=4, alpha=12, seed=0)
    layers = [layer for layer in both.modules() if hasattr(layer, "lora_A")]
    plain = {name: weight.clone() for name, weight in policy.named_parameters()}
    added = {}
    with torch.no_grad():
        for name, layer in both.named_modules():
            if hasattr(layer, "lora_A"):
                one, other = (part["default"].weight for part in (layer.lora_A, layer.lora_B))
                assert one.shape[0] == other.shape[1] == 4
                other.normal_()
                added[f"{name.removeprefix('base_model.model.')}.weight"] = 3 * other @ one
    assert len(added) == len(layers) == 7 * policy.config.num_hidden_layers, (
        "all linear layers except the head"
    )
    for name, weight in merge_adapters(both).named_parameters():
        torch.testing.assert_close(weight, plain[name] + added.get(name, 0.0), atol=1e-5, rtol=1e-5)


def test_only_adapters_are_trained_and_with_them_off_the_policy_is_its_reference(run: Run, other: Run):
    start = logits(run.policy)
    adapted(run)
    frozen = {
        name: weight.detach().clone()
        for name, weight in run.policy.named_parameters()
        if not weight.requires_grad
    }
    steps = run.steps(**PLAN)
    assert steps[-1].metrics["score"] > steps[0].metrics["score"] + 0.3, "it learns"
    assert all(
        torch.equal(weight, frozen[name]) for name, weight in run.policy.named_parameters() if name in frozen
    )
    assert steps[-1].metrics["kl"] > 0.1
    with adapters_off(run.reference) as reference:
        assert torch.equal(logits(reference), start)
    assert not torch.allclose(logits(run.policy), start), "and they are on again afterwards"
    adapted(other, as_reference=False)
    apart = other.steps(**PLAN)
    assert [step.metrics for step in apart] == [step.metrics for step in steps], (
        "a separate reference model gives the same run"
    )


@pytest.mark.parametrize("family", ["policy", "gpt2"])
def test_merged_weights_are_the_merged_policys_and_leave_the_adapters(
    family: str, request: pytest.FixtureRequest
):
    model = copy.deepcopy(request.getfixturevalue(family))
    both = add_adapters(model, rank=4, alpha=12, seed=0)
    with torch.no_grad():
        for name, weight in both.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(1))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    merged = merged_weights(model)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    whole = merge_adapters(both).state_dict()
    assert set(merged) == set(whole)
    for name, weight in whole.items():
        torch.testing.assert_close(merged[name], weight, atol=1e-6, rtol=1e-6)


def test_a_value_model_of_its_own_learns_by_adapters_and_its_head_and_its_trunk_keeps_every_bit(run: Run):
    adapted(run)
    add_adapters(run.value.trunk, rank=4, alpha=8, seed=1)
    before = {name: weight.clone() for name, weight in run.value.state_dict().items()}
    steps = run.steps(**PLAN, value_learning_rate=1e-2)
    changed = {
        name for name, weight in run.value.state_dict().items() if not torch.equal(weight, before[name])
    }
    assert changed == {name for name in before if ".lora_" in name or name.startswith("head.")}
    assert steps[-1].metrics["value_loss"] < 0.5 * steps[0].metrics["value_loss"], "it learns"


def test_the_first_ratio_is_one_and_weight_averaging_covers_the_adapters(run: Run):
    start, both = logits(run.policy), adapted(run)
    [step] = run.steps(**{**PLAN, "steps": 1, "minibatches": 1, "ema_decay": 1.0})
    assert step.metrics["ratio_first"] == pytest.approx(1, abs=1e-6)
    assert step.metrics["grad_norm"] > 0
    assert torch.equal(logits(merge_adapters(both)), start), "a decay of 1 stays at the start"


def test_a_merged_policy_loads_anywhere_and_has_the_adapted_ones_log_probabilities(
    run: Run, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    both = adapted(run)
    run.steps(**PLAN)
    responses = [[run.letters[place % 4], 1] for place in range(8)]
    expected = response_logprobs(run.policy, run.prompts, responses, run.rules, 1.0)
    whole = merge_adapters(both)
    assert not [name for name, _ in whole.named_parameters() if "lora" in name]
    save_policy(whole, tokenizer, tmp_path / "policy")
    assert {file.name for file in (tmp_path / "policy").iterdir()} >= {"config.json", "model.safetensors"}
    assert not list((tmp_path / "policy").glob("adapter*"))
    loaded, _ = load_policy(tmp_path / "policy")
    torch.testing.assert_close(
        response_logprobs(loaded, run.prompts, responses, run.rules, 1.0), expected, atol=1e-4, rtol=0
    )
