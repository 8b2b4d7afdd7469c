"""Sharded models give the numbers of whole ones, have the same bytes when saved, and the same state."""

from functools import partial
from typing import Any

import pytest
import torch

from alignloop.core.ranks import Ranks
from alignloop.core.sharding import _mesh
from alignloop.errors import AlignloopError
from tests.core.numbers import close, same
from tests.core.rank_jobs import JOBS, Found, on_ranks, run_jobs
from tests.core.shard_jobs import everything, saved, states

# two ranks do all jobs; the others those that differ most
FEW = ["language model, packed", "reward model", "responses", "ppo, everything"]
WAYS = {"full, 2": (2, "full", ()), "full, 3": (3, "full", ()), "host, 2 hosts": (2, "host", ("a", "b"))}


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return {"jobs": run_jobs(), "states": states(), "saved": saved()}


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory, alone: dict[str, Any]) -> dict[str, list[Found]]:
    """What each rank found, by the way of sharding."""
    folder = tmp_path_factory.mktemp("shards")
    torch.save(alone["states"], folder / "before")
    return {
        name: on_ranks(
            size,
            folder / name,
            partial(everything, folder / "before", list(JOBS) if name == "full, 2" else FEW),
            shard=shard,
            hosts=hosts,
        )
        for name, (size, shard, hosts) in WAYS.items()
    }


@pytest.mark.parametrize(
    ("way", "job"), [(way, job) for way in WAYS for job in JOBS if way == "full, 2" or job in FEW]
)
def test_sharded_models_find_what_whole_ones_find_but_for_rounding(
    sharded: dict[str, list[Found]], alone: dict[str, Any], way: str, job: str
) -> None:
    for found in sharded[way]:
        close(found["jobs"][job], alone["jobs"][job])
    assert same(sharded[way][0]["jobs"][job], sharded[way][1]["jobs"][job])


@pytest.mark.parametrize("way", WAYS)
def test_a_saved_model_has_the_bytes_of_a_whole_one_and_rank_0_writes_it(
    sharded: dict[str, list[Found]], alone: dict[str, Any], way: str
) -> None:
    for kind in ("policy", "adapters", "wrapper", "reward model", "adapted reward model"):
        assert "model.safetensors" in alone["saved"][kind]
        assert sharded[way][0]["saved"][kind] == alone["saved"][kind]
        assert sharded[way][1]["saved"][kind] == {}


@pytest.mark.parametrize(("way", "ranks"), [("full, 2", 2), ("full, 3", 3), ("host, 2 hosts", 1)])
def test_a_rank_holds_its_share_of_the_weights(sharded: dict[str, list[Found]], way: str, ranks: int) -> None:
    for found in sharded[way]:
        for held, weights in zip(found["saved"]["held"], found["saved"]["weights"], strict=True):
            assert weights / ranks * 0.9 < held < weights / ranks * 1.1


@pytest.mark.parametrize("way", WAYS)
def test_a_state_is_that_of_whole_models_and_resumes_to_the_same_bits(
    sharded: dict[str, list[Found]], alone: dict[str, Any], way: str
) -> None:
    for found in (rank["states"] for rank in sharded[way]):
        close(found["left"], alone["states"]["left"])
        assert same(found["resumed"], found["through"])
        close(found["elsewhere"], alone["states"]["through"])
    back = states(sharded[way][0]["states"])
    close(back["elsewhere"], alone["states"]["through"])


def test_hosts_with_unequal_ranks_are_refused() -> None:
    for hosts in (["a", "a", "b"], ["a", "b", "a", "b"]):
        with pytest.raises(AlignloopError, match="as many processes on each host, one host after another"):
            _mesh(Ranks(0, len(hosts), hosts), "host", "cpu")
