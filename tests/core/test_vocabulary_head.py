"""The vocabulary head in parts: equal losses, log-probabilities and gradients, never all logits at once."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from alignloop.core import pass_limits
from alignloop.core.lm_training import accumulate_gradients, mean_loss
from alignloop.core.logprobs import policy_logprobs, response_logprobs
from alignloop.core.models import vocabulary_of
from alignloop.core.pass_limits import PassLimits
from alignloop.core.tokens import Encoded, TokenRules
from alignloop.core.vocabulary_head import read_logits

LIMITS = [1, 3, 16, 10_000]
ROWS = [Encoded([5 + (n * 7 + place) % 80 for place in range(6 + n)], [True] * (6 + n)) for n in range(9)]


@pytest.fixture(autouse=True)
def _limits_of_others() -> Iterator[None]:
    before = pass_limits.current()
    yield
    pass_limits.use(before)


class Widest(TorchDispatchMode):
    """Records the most rows of any tensor as wide as the vocabulary; the head's own weight does not count."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.vocabulary, self.hidden, self.rows = vocabulary_of(model), model.config.hidden_size, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, tuple | list) else [found]:
            if not isinstance(each, Tensor) or each.dim() != 2 or each.shape[1] != self.vocabulary:
                continue
            if each.shape[0] != self.hidden:
                self.rows = max(self.rows, each.shape[0])
        return found


def gradients(model: PreTrainedModel) -> list[Tensor]:
    return [weight.grad for weight in model.parameters() if weight.grad is not None]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("packing", [False, True])
def test_the_language_model_loss_and_its_gradient_do_not_depend_on_the_limit(
    learner: PreTrainedModel, limit: int, packing: bool
) -> None:
    whole = copy.deepcopy(learner)
    pass_limits.use(PassLimits(tokens=200))
    loss, held_out = accumulate_gradients(whole, ROWS, 0, packing=packing), mean_loss(whole, ROWS, 0)
    pass_limits.use(PassLimits(tokens=200, head_tokens=limit))
    assert accumulate_gradients(learner, ROWS, 0, packing=packing) == pytest.approx(loss, abs=1e-5)
    assert mean_loss(learner, ROWS, 0) == pytest.approx(held_out, abs=1e-5)
    torch.testing.assert_close(gradients(learner), gradients(whole), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("limit", LIMITS)
def test_log_probabilities_entropies_and_their_gradient_do_not_depend_on_the_limit(
    learner: PreTrainedModel, rules: TokenRules, limit: int
) -> None:
    states = torch.randn(23, learner.config.hidden_size, generator=torch.Generator().manual_seed(0))
    targets = rules.allowed.nonzero().squeeze(1)[torch.arange(23) % 40]
    found: list[tuple[Tensor, ...]] = []
    for head_tokens in (None, limit):
        pass_limits.use(PassLimits(head_tokens=head_tokens))
        leaf = states.clone().requires_grad_()
        logprobs, entropy = policy_logprobs(learner, leaf, targets, rules.allowed, 0.7)
        (gradient,) = torch.autograd.grad((logprobs * torch.arange(23)).sum(), leaf)
        found.append((logprobs.detach(), entropy, gradient))
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-5)


def test_no_more_logits_exist_than_the_limit_allows_in_either_direction(learner: PreTrainedModel) -> None:
    pass_limits.use(PassLimits(tokens=10_000))
    with Widest(learner) as whole:
        accumulate_gradients(copy.deepcopy(learner), ROWS, 0)
    pass_limits.use(PassLimits(tokens=10_000, head_tokens=4))
    with Widest(learner) as parts:
        accumulate_gradients(learner, ROWS, 0)
        mean_loss(learner, ROWS, 0)
    assert whole.rows == sum(len(row.ids) - 1 for row in ROWS)
    assert parts.rows == 4


def test_without_gradients_nothing_is_kept_for_a_backward_pass(
    learner: PreTrainedModel, rules: TokenRules
) -> None:
    pass_limits.use(PassLimits(head_tokens=2))
    prompts, responses = [[5, 6, 7]] * 3, [[8, 9, rules.end], [10, rules.end], [11, 12, 13]]
    assert not response_logprobs(learner, prompts, responses, rules, 1.0).requires_grad
    parts = read_logits(
        learner, torch.zeros(5, learner.config.hidden_size), torch.arange(5), lambda a, b: (len(a), len(b))
    )
    assert parts == [(2, 2), (2, 2), (1, 1)]


def test_the_limit_of_a_pass_decides_how_rows_share_passes() -> None:
    from alignloop.core.batches import by_length, first_fit

    pass_limits.use(PassLimits(tokens=9))
    assert by_length([9, 2, 3, 8, 2]) == [[1, 4, 2], [3], [0]]
    assert first_fit([5, 3, 9, 2, 4]) == [[2], [0, 4], [1, 3]]
