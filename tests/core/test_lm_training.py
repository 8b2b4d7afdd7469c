"""Language model training: the loss mask, exact splits into passes, packing, and reproducibility."""

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core import lm_training as module
from alignloop.core.batches import by_length, first_fit
from alignloop.core.lm_training import (
    accumulate_gradients,
    count_targets,
    fit,
    mean_loss,
    packed_states,
    target_positions,
)
from alignloop.core.models import logits_at, logits_of
from alignloop.core.numeric_checks import NonFiniteLoss
from alignloop.core.tokens import Encoded, encode_dialogue, encode_text


@pytest.fixture(scope="module")
def rows(tokenizer: PreTrainedTokenizerFast, sentences: list[str]) -> list[Encoded]:
    """Seven dialogues of different lengths."""
    return [
        encode_dialogue(
            tokenizer,
            [{"role": "user", "content": text[:n]}, {"role": "assistant", "content": text[-2 * n :]}],
        )
        for text in sentences
        for n in (4, 9)
    ][:7]


def plan(**changes: Any) -> dict[str, Any]:
    plan = {
        "epochs": 1,
        "rows_per_step": 3,
        "learning_rate": 1e-2,
        "warmup": 0.0,
        "weight_decay": 0.0,
        "random": np.random.default_rng(0),
    }
    return {**plan, **changes}


def gradient(model: PreTrainedModel) -> Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def loss_by_hand(model: PreTrainedModel, rows: Sequence[Encoded]) -> Tensor:
    """Mean −log p of every target given the tokens before it, row by row by the model's own forward pass."""
    losses = []
    for row in rows:
        table = torch.log_softmax(model(input_ids=torch.tensor([row.ids])).logits[0], -1)
        losses += [
            -table[place - 1, token]
            for place, (token, on) in enumerate(zip(row.ids, row.mask, strict=True))
            if on and place
        ]
    return torch.stack(losses).mean()


def test_positions_are_one_before_their_targets():
    ids, mask, positions, targets = target_positions(
        [Encoded([5, 6, 7], [True, False, True]), Encoded([8, 9], [False, True])], pad=0
    )
    assert ids.tolist() == [[5, 6, 7], [8, 9, 0]]
    assert mask.tolist() == [[True, True, True], [True, True, False]]
    assert positions.nonzero().tolist() == [[0, 1], [1, 0]], "the first token of a row is no target"
    assert targets.tolist() == [7, 9]
    assert count_targets([Encoded([5, 6, 7], [True, False, True]), Encoded([8, 9], [False, True])]) == 2


def test_loss_and_gradient_are_those_of_the_assistants_tokens_only(
    learner: PreTrainedModel, rows: list[Encoded]
):
    other = copy.deepcopy(learner)
    expected = loss_by_hand(other, rows)
    expected.backward()
    assert accumulate_gradients(learner, rows, pad=0) == pytest.approx(float(expected.detach()), abs=1e-5)
    torch.testing.assert_close(gradient(learner), gradient(other), atol=1e-6, rtol=1e-4)
    assert mean_loss(learner, rows, pad=0) == pytest.approx(float(expected.detach()), abs=1e-5)


def test_the_users_tokens_are_context_but_no_targets(policy: PreTrainedModel, rows: list[Encoded]):
    row = rows[0]
    first = row.mask.index(True)
    table = torch.log_softmax(policy(input_ids=torch.tensor([row.ids])).logits[0], -1)
    expected = sum(-float(table[place - 1, row.ids[place]].detach()) for place in range(first, len(row.ids)))
    assert mean_loss(policy, [row], 0) * (len(row.ids) - first) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("tokens", [1, 40, 100, 4096])
def test_no_split_into_passes_changes_the_gradient(
    learner: PreTrainedModel, rows: list[Encoded], tokens: int, monkeypatch: pytest.MonkeyPatch
):
    whole = copy.deepcopy(learner)
    loss = accumulate_gradients(whole, rows, pad=0)
    monkeypatch.setattr(module, "by_length", partial(by_length, tokens=tokens))
    assert accumulate_gradients(learner, rows, pad=0) == pytest.approx(loss, abs=1e-6)
    torch.testing.assert_close(gradient(learner), gradient(whole), atol=1e-6, rtol=1e-5)
    assert mean_loss(learner, rows, pad=0) == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize(("packing", "split"), [(False, by_length), (True, first_fit)])
def test_rows_share_passes_by_length_or_in_packs(
    learner: PreTrainedModel, rows: list[Encoded], packing: bool, split: Any, monkeypatch: pytest.MonkeyPatch
):
    passes: list[list[int]] = []
    plain = module.backward
    monkeypatch.setattr(
        module, "backward", lambda loss, parts, weights: passes.extend(parts) or plain(loss, parts, weights)
    )
    twice = rows * 5
    accumulate_gradients(learner, twice, 0, packing=packing)
    lengths = [len(row.ids) for row in twice]
    assert passes == split(lengths)
    assert by_length(lengths) != first_fit(lengths)


@pytest.mark.parametrize("family", ["learner", "gpt2"])
@pytest.mark.parametrize("tokens", [1, 100, 4096])
def test_packed_rows_have_the_gradient_of_separate_rows(
    family: str,
    rows: list[Encoded],
    tokens: int,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
):
    apart = copy.deepcopy(request.getfixturevalue(family))
    together = copy.deepcopy(apart)
    expected = accumulate_gradients(apart, rows, pad=0)
    monkeypatch.setattr(module, "first_fit", partial(first_fit, tokens=tokens))
    assert accumulate_gradients(together, rows, pad=0, packing=True) == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(gradient(together), gradient(apart), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["policy", "gpt2"])
def test_packed_rows_have_the_logits_of_separate_rows(
    family: str, rows: list[Encoded], request: pytest.FixtureRequest
):
    model: PreTrainedModel = request.getfixturevalue(family)
    states, targets = packed_states(model, rows, 0)
    together = logits_of(model, states)
    apart = [logits_at(model, *places[:3]) for places in (target_positions([row], 0) for row in rows)]
    assert together.std() > 0.5, "the comparison is not trivial"
    torch.testing.assert_close(together, torch.cat(apart), atol=1e-5, rtol=0)
    assert targets.tolist() == [token for row in rows for token in target_positions([row], 0)[3].tolist()]


def test_a_packed_row_does_not_attend_to_its_neighbour(policy: PreTrainedModel, rows: list[Encoded]):
    first, targets = packed_states(policy, [rows[0], rows[1]], 0)
    other = Encoded([7] * len(rows[0].ids), rows[0].mask)
    second, _ = packed_states(policy, [other, rows[1]], 0)
    mine = count_targets([rows[0]])
    assert torch.equal(first[mine:], second[mine:])
    assert not torch.equal(first[:mine], second[:mine])
    assert len(targets) == count_targets(rows[:2])


def test_a_weight_scales_the_gradient_and_not_the_reported_loss(
    learner: PreTrainedModel, rows: list[Encoded]
):
    plain = copy.deepcopy(learner)
    assert accumulate_gradients(learner, rows, 0, weight=27.8) == accumulate_gradients(plain, rows, 0)
    torch.testing.assert_close(gradient(learner), 27.8 * gradient(plain), atol=1e-5, rtol=1e-5)
    doubled = gradient(plain).clone() * 2
    accumulate_gradients(plain, rows, 0)
    torch.testing.assert_close(gradient(plain), doubled, atol=1e-6, rtol=1e-5)  # gradients are added


def test_training_reduces_the_loss(learner: PreTrainedModel, rows: list[Encoded]):
    before = mean_loss(learner, rows, 0)
    steps = list(fit(learner, rows, 0, **plan(epochs=12)))
    assert [(step, total) for step, total, _ in steps] == [(n, 36) for n in range(1, 37)]
    assert mean_loss(learner, rows, 0) < 0.25 * before
    assert steps[0][2]["learning_rate"] == pytest.approx(1e-2)
    assert steps[-1][2]["learning_rate"] < 1.1e-3
    assert not learner.training


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    policy: PreTrainedModel, rows: list[Encoded]
):
    def trained(seed: int) -> bytes:
        model = copy.deepcopy(policy)
        list(fit(model, rows, 0, **plan(random=np.random.default_rng(seed), mixed=rows[:2], mixed_share=0.4)))
        return b"".join(weight.detach().numpy().tobytes() for weight in model.parameters())

    assert trained(0) == trained(0)
    assert trained(0) != trained(1)


def test_a_share_of_each_steps_rows_is_mixed_in(
    learner: PreTrainedModel,
    rows: list[Encoded],
    tokenizer: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
):
    text = [encode_text(tokenizer, "The sea.")]
    seen: list[tuple[int, int]] = []

    def counting(model: PreTrainedModel, batch: Sequence[Encoded], pad: int, packing: bool) -> float:
        seen.append((sum(row is not text[0] for row in batch), sum(row is text[0] for row in batch)))
        return accumulate_gradients(model, batch, pad, packing=packing)

    monkeypatch.setattr(module, "accumulate_gradients", counting)
    list(fit(learner, rows, 0, **plan(rows_per_step=4, mixed=text, mixed_share=0.5)))
    list(fit(learner, rows, 0, **plan(rows_per_step=4, mixed=text, mixed_share=0.2)))
    list(fit(learner, rows, 0, **plan(rows_per_step=4, mixed=text, mixed_share=0.0)))
    list(fit(learner, rows, 0, **plan(rows_per_step=4, mixed_share=0.5)))
    assert seen == [(4, 4), (3, 3), (4, 1), (3, 1), (4, 0), (3, 0), (4, 0), (3, 0)]


def test_a_family_with_dropout_is_trained_without_it(gpt2: PreTrainedModel, rows: list[Encoded]):
    one, two = copy.deepcopy(gpt2).train(), copy.deepcopy(gpt2).train()
    torch.manual_seed(0)
    first = [numbers["loss"] for _, _, numbers in fit(one, rows, 0, **plan())]
    torch.manual_seed(1)
    assert first == [numbers["loss"] for _, _, numbers in fit(two, rows, 0, **plan())]


def test_non_finite_weights_stop_the_training(learner: PreTrainedModel, rows: list[Encoded]):
    with torch.no_grad():
        next(learner.parameters())[3] = torch.inf
    with pytest.raises(NonFiniteLoss, match="the language-model loss is nan"):
        list(fit(learner, rows, 0, **plan()))


def test_rows_without_a_target_stop_the_training_before_an_update(learner: PreTrainedModel):
    with pytest.raises(NonFiniteLoss):
        accumulate_gradients(learner, [Encoded([5, 6], [True, False])], 0)
    assert all(weight.grad is None for weight in learner.parameters())


def test_the_perplexity_of_a_uniform_model_is_the_vocabulary_size(
    learner: PreTrainedModel, rows: list[Encoded]
):
    with torch.no_grad():
        for weight in learner.parameters():
            weight.zero_()
    assert math.exp(mean_loss(learner, rows, 0)) == pytest.approx(320, rel=1e-5)
