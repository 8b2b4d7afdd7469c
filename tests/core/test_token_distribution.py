"""Log-probabilities, entropies and gradients a few rows at a time have the bits of all rows at once."""

import pytest
import torch
from torch import Tensor

from alignloop.core import token_distribution
from alignloop.core.token_distribution import chosen_logprobs, token_logprobs


def at_once(logits: Tensor, targets: Tensor, allowed: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The definition, with autograd's own gradient."""
    scaled = (logits / temperature).masked_fill(~allowed, float("-inf"))
    logprobs = torch.log_softmax(scaled, -1)
    entropies = -(logprobs.exp() * logprobs.masked_fill(~allowed, 0)).sum(-1)
    return logprobs.gather(1, targets[:, None]).squeeze(1), entropies


@pytest.mark.parametrize(("rows", "temperature"), [(1, 1.0), (31, 0.7), (100, 1.3)])
def test_no_bit_depends_on_how_many_rows_are_read_at_a_time(rows: int, temperature: float):
    generator = torch.Generator().manual_seed(rows)
    logits = 3 * torch.randn(rows, 320, generator=generator)
    allowed = torch.rand(320, generator=generator) < 0.8
    targets = allowed.nonzero().squeeze(1)[torch.arange(rows) % 200]
    weights = torch.randn(rows, generator=generator)
    found = []
    for read in (at_once, token_logprobs):
        leaf = logits.clone().requires_grad_()
        logprobs, entropies = read(leaf, targets, allowed, temperature)
        (logprobs * weights).sum().backward()
        found.append((logprobs, entropies, leaf.grad))
    for mine, defined in zip(found[1], found[0], strict=True):
        assert torch.equal(mine, defined)
    assert torch.equal(chosen_logprobs(logits, targets, allowed, temperature), found[0][0])


def test_the_gradient_is_that_of_finite_differences(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(token_distribution, "ROWS", 2)
    logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.3, 0.1], [1.0, 1.0, -1.0]], requires_grad=True)
    targets, allowed = torch.tensor([0, 2, 0]), torch.tensor([True, False, True])
    logprobs, entropies = token_logprobs(logits, targets, allowed, 0.5)
    assert not entropies.requires_grad
    (gradient,) = torch.autograd.grad(logprobs.sum(), logits)
    for row, token in ((0, 0), (0, 2), (1, 2), (2, 0), (2, 1)):
        moved = logits.detach().clone()
        moved[row, token] += 1e-2
        back = logits.detach().clone()
        back[row, token] -= 1e-2
        sums = [chosen_logprobs(each, targets, allowed, 0.5).double().sum() for each in (moved, back)]
        assert float(gradient[row, token]) == pytest.approx(float(sums[0] - sums[1]) / 2e-2, abs=2e-3)
    assert gradient[:, 1].abs().max() == 0, "a token that is not allowed has no gradient"
