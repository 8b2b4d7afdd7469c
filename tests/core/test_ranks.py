"""Passes that are dealt among processes give the numbers of one process, and each time the same bits."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from alignloop.core import parallel_passes
from alignloop.core.ranks import join
from alignloop.errors import AlignloopError
from tests.core.numbers import close, same
from tests.core.rank_jobs import JOBS, Found, on_ranks, run_jobs

SIZES = (2, 3)


def sums() -> Found:
    """Gradients of three parts, of none, and of one, on weights that have a gradient, or are not used."""
    near, far, still = (torch.tensor(start, requires_grad=True) for start in ([1.0, 2.0], [3.0], [4.0]))
    still.requires_grad_(False)
    near.grad = torch.tensor([100.0, 100.0])

    def loss(part: float) -> tuple[Tensor, float]:
        return (near * part).sum(), -part

    order = [
        parallel_passes.backward(loss, parts, [near, far, still]) for parts in ([1.0, 2.0, 4.0], [], [8.0])
    ]
    numbers = [
        list(parallel_passes.in_parallel(lambda part: part * part, range(count))) for count in (7, 1, 0)
    ]
    return {
        "near": near.grad.tolist(),
        "far": far.grad,
        "order": order,
        "numbers": numbers,
        "agreed": parallel_passes.agreed(parallel_passes.is_writer()),
        "writes": parallel_passes.is_writer(),
    }


def twice() -> list[dict[str, Found]]:
    return [run_jobs(), run_jobs()]


@pytest.fixture(scope="module")
def alone() -> dict[str, Found]:
    return run_jobs()


@pytest.fixture(scope="module")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """What each rank found, by the number of ranks: two of them do everything twice."""
    folder = tmp_path_factory.mktemp("ranks")
    return {2: on_ranks(2, folder / "2", twice), 3: [[each] for each in on_ranks(3, folder / "3", run_jobs)]}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("job", JOBS)
def test_ranks_find_what_one_process_finds_but_for_rounding(
    dealt: dict[int, Any], alone: dict[str, Found], size: int, job: str
) -> None:
    close(dealt[size][0][0][job], alone[job])


def test_the_jobs_do_what_they_are_for(alone: dict[str, Found]) -> None:
    everything = alone["ppo, everything"]
    assert everything["violations"][-1] == ["max_kl_per_response_nats"], "the guard stopped it"
    assert len(everything["metrics"]) < 4
    assert everything["coefficient"] != 0.05


@pytest.mark.parametrize("size", SIZES)
def test_all_ranks_have_the_same_bits(dealt: dict[int, Any], size: int) -> None:
    first, *others = dealt[size]
    assert all(same(other, first) for other in others)


def test_the_same_ranks_find_the_same_bits_twice(dealt: dict[int, Any]) -> None:
    once, again = dealt[2][0]
    assert same(once, again)


def test_gradients_are_summed_in_full_and_results_keep_their_order(tmp_path: Path) -> None:
    for rank, found in enumerate(on_ranks(2, tmp_path / "sums", sums)):
        assert found == {
            "near": [115.0, 115.0],
            "far": None,
            "order": [[-1.0, -2.0, -4.0], [], [-8.0]],
            "numbers": [[0, 1, 4, 9, 16, 25, 36], [0], []],
            "agreed": True,
            "writes": rank == 0,
        }


def code() -> str:
    """What a rank says of a value that would run code where it is read."""
    try:
        parallel_passes.agreed(Path("a class of its own"))
    except pickle.UnpicklingError as error:
        return str(error)
    return "read"


def test_what_ranks_send_each_other_is_read_as_data_only(tmp_path: Path) -> None:
    assert all("Weights only load failed" in said for said in on_ranks(2, tmp_path / "code", code))


def test_one_process_needs_no_ranks() -> None:
    assert parallel_passes.ranks() is None
    assert not torch.distributed.is_initialized()
    assert parallel_passes.agreed("own") == "own"
    assert parallel_passes.is_writer()


def test_a_rank_without_the_network_it_was_given_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nosuch0")
    with pytest.raises(
        AlignloopError, match=r"rank 0 of 1 on .* has no way to the others \(.*nosuch0.*\); let"
    ):
        join(0, 1, tmp_path / "meeting")
