"""Sampling draws from the distribution that training computes, each row independently, and stops at the end
token.
"""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core.generate import Responses, _draw, sample
from alignloop.core.logprobs import response_positions
from alignloop.core.models import allowed_tokens, logits_at
from alignloop.core.numeric_checks import NonFiniteLoss
from alignloop.core.token_distribution import log_distribution, token_logprobs
from alignloop.core.tokens import TokenRules


def draw(
    model: PreTrainedModel,
    prompts: list[list[int]],
    allowed: Tensor,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    limit: int = 12,
    batch: int = 64,
) -> Responses:
    return sample(
        model,
        prompts,
        TokenRules(allowed, end=1, pad=0),
        temperature=temperature,
        max_new_tokens=limit,
        generator=torch.Generator().manual_seed(seed),
        batch=batch,
    )


def trained_logprobs(
    model: PreTrainedModel,
    prompts: list[list[int]],
    responses: list[list[int]],
    allowed: Tensor,
    temperature: float = 1.0,
) -> Tensor:
    """Log-probabilities (N,) of all response tokens, as training computes them."""
    rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    ids, mask, positions, targets = response_positions(rows, [len(prompt) for prompt in prompts], pad=0)
    return token_logprobs(logits_at(model, ids, mask, positions), targets, allowed, temperature)[0]


def sizes_of_passes(model: PreTrainedModel, sizes: list[int]) -> torch.utils.hooks.RemovableHandle:
    """Record the number of rows of each forward pass."""
    return model.register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0])
def test_sampling_and_training_agree_also_on_rows_that_ended_early(
    learner: PreTrainedModel, prompts: list[list[int]], few: Tensor, temperature: float
):
    sizes: list[int] = []
    sizes_of_passes(learner, sizes)
    drawn = draw(learner, prompts * 4, few, temperature=temperature)
    assert sizes[:2] == [8, 32], "equal prompts are computed once"
    assert 0 < sizes[-1] < 16, "the cache became smaller as rows ended"
    assert len(set(map(len, drawn.ids))) > 6
    learned = trained_logprobs(learner, prompts * 4, drawn.ids, few, temperature)
    torch.testing.assert_close(torch.cat(drawn.logprobs), learned, atol=1e-5, rtol=0)


def test_sampling_and_training_agree_where_positions_are_absolute(
    gpt2: PreTrainedModel, prompts: list[list[int]], few: Tensor
):
    drawn = draw(gpt2, prompts * 4, few)
    learned = trained_logprobs(gpt2, prompts * 4, drawn.ids, few)
    torch.testing.assert_close(torch.cat(drawn.logprobs), learned, atol=1e-5, rtol=0)


def test_a_response_ends_with_its_end_token_or_at_the_limit(
    policy: PreTrainedModel, prompts: list[list[int]], few: Tensor
):
    drawn = draw(policy, prompts * 4, few)
    assert 0 < sum(drawn.ended) < 32
    for ids, logprobs, ended in zip(drawn.ids, drawn.logprobs, drawn.ended, strict=True):
        assert len(ids) == len(logprobs) <= 12
        assert 1 not in ids[:-1]
        assert ended == (ids[-1] == 1)
        assert ended or len(ids) == 12


def test_decoding_stops_when_all_rows_have_ended(
    learner: PreTrainedModel, prompts: list[list[int]], few: Tensor, end: int
):
    sizes: list[int] = []
    sizes_of_passes(learner, sizes)
    for seed in range(4):
        sizes.clear()
        drawn = draw(learner, prompts[:3], few, seed=seed, limit=50)
        assert len(sizes) == max(map(len, drawn.ids)) < 50
    sizes.clear()
    only_end = torch.zeros_like(few)
    only_end[end] = True
    drawn = draw(learner, prompts, only_end)
    assert drawn.ids == [[end]] * 8
    assert torch.stack(drawn.logprobs).abs().max() == 0
    assert sizes == [8]


def test_rows_that_ended_leave_the_batch_before_they_are_a_quarter_of_it(
    learner: PreTrainedModel, prompts: list[list[int]], few: Tensor
):
    sizes: list[int] = []
    sizes_of_passes(learner, sizes)
    drawn = draw(learner, prompts * 8, few, limit=40)
    for step, size in enumerate(sizes):
        going = sum(len(ids) > step for ids in drawn.ids)
        assert step == 0 or going <= size, "no active row is dropped"
        assert step == 0 or going >= 0.75 * size, "fewer than a quarter of a pass are rows that ended"


def test_the_same_seed_draws_the_same_responses(
    policy: PreTrainedModel, prompts: list[list[int]], allowed: Tensor
):
    one, two = draw(policy, prompts, allowed, seed=3), draw(policy, prompts, allowed, seed=3)
    assert one.ids == two.ids
    assert all(torch.equal(a, b) for a, b in zip(one.logprobs, two.logprobs, strict=True))
    assert one.ids != draw(policy, prompts, allowed, seed=4).ids


def test_sampling_uses_and_advances_its_own_generator_only(
    policy: PreTrainedModel, prompts: list[list[int]], rules: TokenRules
):
    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(0)
    first, second = (
        sample(policy, prompts, rules, temperature=1.0, max_new_tokens=8, generator=generator, batch=8)
        for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert first.ids != second.ids, "a second call does not repeat the first"


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_rows_response_does_not_depend_on_its_neighbours(
    policy: PreTrainedModel, prompts: list[list[int]], few: Tensor, batch: int
):
    together, apart = draw(policy, prompts * 2, few), draw(policy, prompts * 2, few, batch=batch)
    assert together.ids == apart.ids
    for one, other in zip(together.logprobs, apart.logprobs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_responses_come_in_the_order_of_their_prompts(
    policy: PreTrainedModel, prompts: list[list[int]], few: Tensor
):
    drawn = draw(policy, prompts[::-1], few, batch=3)
    for prompt, ids, logprobs in zip(prompts[::-1], drawn.ids, drawn.logprobs, strict=True):
        learned = trained_logprobs(policy, [prompt], [ids], few)
        torch.testing.assert_close(logprobs, learned, atol=1e-5, rtol=0)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_frequencies_are_the_probabilities(
    policy: PreTrainedModel, prompts: list[list[int]], few: Tensor, letters: list[int], temperature: float
):
    """χ² over the 21 responses of at most two tokens; one seed in a thousand exceeds 45.3."""
    possible = [[1], *([a, b] for a, b in product(letters, [*letters, 1]))]
    logprobs = trained_logprobs(policy, [prompts[2]] * len(possible), possible, few, temperature)
    chances = torch.stack([part.sum() for part in logprobs.split(list(map(len, possible)))]).exp()
    assert float(chances.sum().detach()) == pytest.approx(1, abs=1e-5)
    drawn = draw(policy, [prompts[2]] * 6000, few, temperature=temperature, limit=2, batch=2000).ids
    counts = torch.tensor([drawn.count(response) for response in possible])
    assert counts.sum() == 6000
    assert float(((counts - 6000 * chances) ** 2 / (6000 * chances)).sum().detach()) < 45.3


def test_special_tokens_and_rows_beyond_the_tokenizer_are_never_drawn(
    tokenizer: PreTrainedTokenizerFast, prompts: list[list[int]]
):
    narrow: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    wider = LlamaForCausalLM(LlamaConfig(vocab_size=400, **narrow))
    forbidden = {0, 2, 3, 4, *range(320, 400)}
    with torch.no_grad():
        wider.lm_head.weight[list(forbidden)] *= 50
    tokens = {
        token
        for ids in draw(wider, prompts * 12, allowed_tokens(tokenizer, 400), limit=10).ids
        for token in ids
    }
    assert len(tokens) > 100
    assert not tokens & forbidden
    free = {
        token
        for ids in draw(wider, prompts, torch.ones(400, dtype=torch.bool), limit=10).ids
        for token in ids
    }
    assert len(free & forbidden) > len(free - forbidden), "without the rule the model would draw them most"


def test_a_token_that_is_not_allowed_has_no_probability_however_high_its_logit(few: Tensor):
    logits = torch.zeros(2, len(few)).masked_fill(~few, 1e4)
    logprobs = log_distribution(logits, few, 0.7)
    torch.testing.assert_close(logprobs[:, few].exp(), torch.full((2, 5), 0.2))
    assert (logprobs[:, ~few] == -torch.inf).all()


def test_the_draw_at_both_ends_of_the_unit_interval():
    logprobs = torch.tensor([[0.0, 0.25, 0.75, 0.0]]).log()
    numbers = torch.tensor([0.0, 0.2499, 0.2501, 1 - 2**-53], dtype=torch.float64)
    assert _draw(logprobs.expand(4, 4), numbers).tolist() == [1, 1, 2, 2]


def test_a_policy_with_nan_weights_stops_sampling_at_once(
    learner: PreTrainedModel, prompts: list[list[int]], allowed: Tensor
):
    with torch.no_grad():
        next(learner.parameters())[5:] = torch.nan
    with pytest.raises(NonFiniteLoss, match="distribution over the next token"):
        draw(learner, prompts, allowed)


def test_responses_of_one_prompt_share_its_prefill_and_no_bit_shows_it(
    policy: PreTrainedModel, prompts: list[list[int]], few: Tensor, monkeypatch: pytest.MonkeyPatch
):
    sizes: list[int] = []
    hook = sizes_of_passes(policy, sizes)
    repeated = [prompt for prompt in prompts for _ in range(3)]
    shared = draw(policy, repeated, few)
    assert sizes[:2] == [8, 24]
    hook.remove()
    uniform = torch.rand(24, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for row in (0, 1, 2, 23):  # alone, and so with a prefill of its own
        monkeypatch.setattr(torch, "rand", lambda *_, row=row, **__: uniform[row : row + 1])
        alone = draw(policy, [repeated[row]], few)
        assert alone.ids == [shared.ids[row]]
        torch.testing.assert_close(alone.logprobs[0], shared.logprobs[row], atol=1e-5, rtol=0)
