"""Weights of four bits: which layers, what is lost, the gradient through them, and what is saved."""

import copy
import importlib.util
from pathlib import Path

import pytest
import torch
from bitsandbytes.functional import create_normal_map
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core import four_bits, precision
from alignloop.core.four_bits import BLOCK, FourBitLinear, FourBitsError, to_four_bits, to_whole
from alignloop.core.lora import add_adapters, merge_adapters, merged_weights
from alignloop.core.models import load_policy, logits_at, save_policy
from alignloop.core.pass_memory import PACKED
from alignloop.core.reward_model import RewardModel


def logits(model: PreTrainedModel) -> torch.Tensor:
    ids = torch.tensor([[3, 20, 30, 40, 4]])
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    return logits_at(model, ids, everywhere, everywhere)


@pytest.mark.parametrize("width", [2 * BLOCK, BLOCK // 2, 3 * BLOCK // 2])
def test_a_weight_is_the_nearest_of_sixteen_levels_of_its_block(width: int) -> None:
    layer = nn.Linear(width, 4)
    small = FourBitLinear(layer)
    levels, whole = create_normal_map(), layer.weight.detach().view(-1, BLOCK)
    scale = whole.abs().max(1, keepdim=True).values
    nearest = levels[(whole[..., None] / scale[..., None] - levels).abs().argmin(-1)] * scale
    torch.testing.assert_close(small.whole_weight(), nearest.view(4, -1), atol=1e-6, rtol=0)
    assert small.weight.nbytes + small.scales.nbytes == PACKED * layer.weight.numel()
    rows = torch.randn(3, width, requires_grad=True)
    small(rows).square().sum().backward()
    expected = torch.nn.functional.linear(rows.detach(), small.whole_weight(), layer.bias.detach())
    torch.testing.assert_close(small(rows), expected)
    torch.testing.assert_close(rows.grad, 2 * expected @ small.whole_weight(), atol=1e-5, rtol=1e-5)


def test_all_linear_layers_but_the_head_are_packed_and_become_whole_again(policy: PreTrainedModel) -> None:
    small = to_four_bits(copy.deepcopy(policy))
    packed = {name for name, part in small.named_modules() if isinstance(part, FourBitLinear)}
    assert len(packed) == 7 * policy.config.num_hidden_layers
    assert not any("head" in name or "embed" in name for name in packed)
    assert not [name for name, weight in small.named_parameters() if weight.requires_grad]
    before = logits(small)
    error = (before - logits(policy)).norm() / logits(policy).norm()
    assert 0.01 < error < 0.5, "four bits are not exact, and not far off"
    whole = to_whole(small)
    assert torch.equal(logits(whole), before), "the numbers that passes read"
    assert {n: w.shape for n, w in whole.named_parameters()} == {
        n: w.shape for n, w in policy.named_parameters()
    }


def test_adapters_on_four_bits_learn_alone_and_what_is_saved_is_whole(
    policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    save_policy(policy, tokenizer, tmp_path / "base")
    small, _ = load_policy(tmp_path / "base", four_bits=True)
    start = logits(small).detach()
    both = add_adapters(small, rank=4, alpha=8, seed=0)
    assert torch.equal(logits(small), start)
    learning = [weight for weight in small.parameters() if weight.requires_grad]
    assert len(learning) == 2 * 7 * policy.config.num_hidden_layers
    optimiser = torch.optim.SGD(learning, lr=1.0)
    for _ in range(3):
        optimiser.zero_grad()
        logits(small)[..., 5].sum().neg().backward()
        optimiser.step()
    learned = logits(small).detach()
    assert learned[..., 5].sum() > start[..., 5].sum() + 0.1
    sent = merged_weights(small)
    whole = merge_adapters(both)
    torch.testing.assert_close(logits(whole), learned, atol=1e-4, rtol=1e-4)
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(sent[name], weight, atol=1e-6, rtol=1e-6)
    save_policy(whole, tokenizer, tmp_path / "saved")
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("base", "saved"))
    assert {name: (w.dtype, w.shape) for name, w in after.items()} == {
        name: (w.dtype, w.shape) for name, w in before.items()
    }


def test_a_frozen_reward_model_of_four_bits_scores_in_bf16_passes_too(
    policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    RewardModel.from_policy(policy, 0).save(tmp_path / "reward", tokenizer)
    ids, mask = torch.tensor([[3, 20, 30, 40, 4]]), torch.ones(1, 5, dtype=torch.bool)
    small = RewardModel.load(tmp_path / "reward", four_bits=True)
    expected = small(ids, mask)
    precision.use("bf16")
    try:
        assert not [name for name, weight in small.frozen().named_parameters() if weight.requires_grad]
        with precision.autocast(torch.device("cpu")):
            torch.testing.assert_close(small(ids, mask), expected, atol=0.05, rtol=0.05)
    finally:
        precision.use("fp32")


def test_no_library_and_no_linear_layers_are_one_message_each(
    gpt2: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FourBitsError, match=r"gpt2: this model family has no linear layers .* to whole"):
        to_four_bits(copy.deepcopy(gpt2))
    monkeypatch.setattr(four_bits, "LIBRARY", "no_such_library")
    assert importlib.util.find_spec("no_such_library") is None
    with pytest.raises(FourBitsError, match=r"needs no_such_library, which is not installed; install .*4bit"):
        to_four_bits(nn.Linear(2, 2))
