"""Drawn responses as parts of a score read them, and the numbers that parts give for them, checked."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from alignloop.core.numeric_checks import MOST_NAMES
from alignloop.errors import AlignloopError
from alignloop.records import Prompt


class ScoreError(AlignloopError):
    """A part of `ppo.score` gives no score; the message names the part, the prompts, the fault and remedy."""


@dataclass(frozen=True)
class Drawn:
    """N responses: their prompts, both as token ids and as text.

    With tools they are what was said last; `answers` has what the search told each one before.
    """

    prompt_ids: Sequence[list[int]]
    response_ids: Sequence[list[int]]
    prompts: Sequence[Prompt]
    texts: Sequence[str]
    answers: Sequence[Sequence[str]] | None = None

    @property
    def names(self) -> list[str]:
        """The id of each response's prompt."""
        return [prompt.id for prompt in self.prompts]


Part = Callable[[Drawn], Tensor]  # N responses -> N finite scores in fp32


def fault(part: str, names: Sequence[str], problem: str, remedy: str) -> ScoreError:
    """The error of a part about responses to the prompts of these ids."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    where = f"prompt{'s' * (len(names) > 1)} {', '.join(names[:MOST_NAMES])}{more}: " if names else ""
    return ScoreError(f"ppo.score.{part}: {where}{problem}; {remedy}")


def checked(values: Any, part: str, names: list[str], remedy: str) -> Tensor:
    """The values as scores (N,) in fp32. Raises ScoreError unless they are one finite number per name."""
    if callable(getattr(values, "tolist", None)):  # tensors and arrays
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise fault(part, names, f"gave {type(values).__name__} in place of a list of scores", remedy)
    if len(values) != len(names):
        raise fault(part, names, f"gave {len(values)} scores for {len(names)} responses", remedy)
    wrong = [at for at, value in enumerate(values) if not isinstance(value, Real) or isinstance(value, bool)]
    if wrong:
        shown = f"gave {str(values[wrong[0]])[:60]!r} in place of a number"
        raise fault(part, [names[at] for at in wrong], shown, remedy)
    scores = torch.tensor([_float(value) for value in values], dtype=torch.float32)
    broken = (~torch.isfinite(scores)).nonzero().flatten().tolist()
    if broken:
        shown = f"gave {str(values[broken[0]])[:60]}, which is not finite"
        raise fault(part, [names[at] for at in broken], shown, remedy)
    return scores


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
