"""Parallel passes change no bit of any result."""

import threading

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core import parallel_passes
from alignloop.core.lm_training import accumulate_gradients
from alignloop.core.tokens import Encoded


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest):
    parallel_passes.use(request.param)
    yield request.param
    parallel_passes.use(1)


def test_results_come_in_the_order_of_the_parts(threads: int):
    assert list(parallel_passes.in_parallel(lambda part: (part, part * part), range(20))) == [
        (part, part * part) for part in range(20)
    ]
    assert list(parallel_passes.in_parallel(str, [])) == []


def test_several_threads_work_at_the_same_time():
    parallel_passes.use(2)
    meeting = threading.Barrier(2, timeout=20)  # a single thread would time out here
    assert sorted(parallel_passes.in_parallel(lambda _: meeting.wait(), [0, 1])) == [0, 1]
    parallel_passes.use(1)


def test_few_parts_are_started_ahead(threads: int):
    begun: list[int] = []
    results = parallel_passes.in_parallel(lambda part: begun.append(part) or part, range(50))
    for place, part in enumerate(results):
        assert part == place
        assert len(begun) <= place + threads + 2


def test_an_error_in_a_thread_reaches_the_caller(threads: int):
    def work(part: int) -> int:
        if part == 3:
            raise ValueError("part 3")
        return part

    with pytest.raises(ValueError, match="part 3"):
        list(parallel_passes.in_parallel(work, range(8)))


def test_a_thread_records_gradients_exactly_where_its_caller_does(threads: int):
    weight = torch.ones(1, requires_grad=True)
    with torch.no_grad():
        assert not any(
            part.requires_grad for part in parallel_passes.in_parallel(lambda part: weight * part, [1, 2, 3])
        )
    assert all(
        part.requires_grad for part in parallel_passes.in_parallel(lambda part: weight * part, [1, 2, 3])
    )


def test_gradients_add_up_to_that_of_the_sum_and_unused_weights_get_none(threads: int):
    near, far = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
    near.grad = torch.tensor([100.0, 100.0])

    def loss(part: float) -> tuple[Tensor, float]:
        return (near * part).sum(), -part

    assert parallel_passes.backward(loss, [1.0, 2.0, 4.0], [near, far]) == [-1.0, -2.0, -4.0]
    assert near.grad.tolist() == [107.0, 107.0]
    assert far.grad is None


def test_no_bit_of_a_gradient_depends_on_the_number_of_threads(learner: PreTrainedModel):
    random = np.random.default_rng(5)
    rows = [
        Encoded((ids := random.integers(5, 300, size=length).tolist()), [True] * len(ids))
        for length in random.integers(5, 60, size=40)
    ]
    seen: list[list[Tensor]] = []
    losses: list[float] = []
    for count in (1, 2, 3):
        parallel_passes.use(count)
        learner.zero_grad()
        losses.append(accumulate_gradients(learner, rows, pad=0))
        seen.append([weight.grad.clone() for weight in learner.parameters() if weight.grad is not None])
    parallel_passes.use(1)
    assert len(set(losses)) == 1
    assert seen[0]
    for other in seen[1:]:
        assert all(torch.equal(one, two) for one, two in zip(seen[0], other, strict=True))
