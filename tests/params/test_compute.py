"""Which processes and devices go together."""

from typing import Any

import pytest
from pydantic import ValidationError

from alignloop.params.compute import Compute

ONE: dict[str, Any] = {
    "device": "cpu",
    "processes": 1,
    "shard": "none",
    "launch": None,
    "elastic": False,
    "precision": "fp32",
    "frozen_weights": "whole",
    "gradient_checkpointing": False,
    "tokens_per_pass": 384,
    "head_tokens": None,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"processes": 2},
        {"processes": 2, "shard": "full"},
        {"processes": 4, "shard": "host", "launch": "srun", "device": "cuda"},
    ],
)
def test_processes_that_fit_are_accepted(changes: dict[str, Any]) -> None:
    assert Compute.model_validate(ONE | changes).processes == changes.get("processes", 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shard": "some"}, "'none', 'full' or 'host'"),
        ({"processes": 0}, "greater than or equal to 1"),
    ],
)
def test_processes_that_do_not_fit_are_refused_with_a_remedy(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Compute.model_validate(ONE | changes)
