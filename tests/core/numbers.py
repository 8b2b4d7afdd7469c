"""Comparisons of what jobs found: nested dictionaries and lists of tensors and plain values."""

from typing import Any

import pytest
import torch
from torch import Tensor


def close(found: Any, wanted: Any) -> None:
    """Fail unless the two are equal, numbers but for rounding."""
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            close(found[key], wanted[key])
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for mine, theirs in zip(found, wanted, strict=True):
            close(mine, theirs)
    elif isinstance(wanted, Tensor):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    else:
        assert found == wanted


def same(found: Any, wanted: Any) -> bool:
    """Whether the two are equal to the bit."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return torch.equal(found, wanted) if isinstance(wanted, Tensor) else found == wanted
