"""Log-probabilities of responses equal those of the model's own forward pass, token by token."""

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.logprobs import response_logprobs, response_positions
from alignloop.core.models import logits_at
from alignloop.core.token_distribution import token_logprobs
from alignloop.core.tokens import TokenRules


def test_response_positions_go_from_the_prompts_last_token_to_the_responses_last_but_one():
    rows = [[5, 6, 7, 8], [5, 9], [4, 5, 6, 7, 8, 9]]
    ids, mask, positions, targets = response_positions(rows, [2, 1, 5], pad=0)
    assert ids.shape == mask.shape == positions.shape == (3, 6)
    assert positions.nonzero().tolist() == [[0, 1], [0, 2], [1, 0], [2, 4]]
    assert targets.tolist() == [7, 8, 9, 9]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_responses_log_probability_is_the_sum_over_its_tokens(
    policy: PreTrainedModel,
    rules: TokenRules,
    prompts: list[list[int]],
    letters: list[int],
    temperature: float,
):
    responses = [letters[:1], letters * 2, [*letters, 1], letters[1:3]]
    mine = response_logprobs(policy, prompts[:4], responses, rules, temperature)
    for prompt, response, number in zip(prompts, responses, mine.tolist(), strict=False):
        logits = policy(input_ids=torch.tensor([prompt + response])).logits[0] / temperature
        logits[:, ~rules.allowed] = -torch.inf
        table = torch.log_softmax(logits, -1)
        expected = sum(
            float(table[len(prompt) - 1 + place, token].detach()) for place, token in enumerate(response)
        )
        assert number == pytest.approx(expected, abs=1e-5 * len(response))


def test_the_entropy_of_a_uniform_distribution_is_log_n(policy: PreTrainedModel, few: Tensor):
    ids, mask, positions, targets = response_positions([[3, 9, 1], [3, 4, 1]], [1, 2], pad=0)
    logits = logits_at(policy, ids, mask, positions)
    _, entropy = token_logprobs(logits, targets, few, temperature=1e6)
    torch.testing.assert_close(entropy, torch.full((3,), 5.0).log())
    _, greedy = token_logprobs(logits, targets, few, temperature=1e-3)
    assert greedy.abs().max() < 1e-3
