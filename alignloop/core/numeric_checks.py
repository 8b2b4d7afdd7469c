"""Checks for NaN and infinity: an error that names the step, the rows of the batch and the remedy."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from alignloop.core.train_state import own
from alignloop.errors import AlignloopError

MOST_NAMES = 8  # row names listed in one message
SANE = 1e6  # trained weights stay far below this magnitude
# the remedy where the cause is not known
ANY = "lower the learning rate, or look for broken rows in the batch"


class NonFiniteLoss(AlignloopError):
    """A loss, gradient, score or distribution is NaN or infinite; more steps would destroy the weights.

    `rows` are the indices of the affected rows in the batch, empty if any row may be affected; `names` are
    the names of these rows, once they are known.
    """

    def __init__(
        self, problem: str, remedy: str, rows: Sequence[int] = (), names: Sequence[str] = ()
    ) -> None:
        names = [name for name in names if name]
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        where = f", in {', '.join(names[:MOST_NAMES])}{more}" if names else ""
        super().__init__(f"{problem}{where}: {remedy}")
        self.problem, self.remedy = problem, remedy
        self.rows, self.names = rows, names


def finite(loss: Tensor, name: str, rows: Sequence[int] = ()) -> Tensor:
    """Return `loss` unchanged; raises NonFiniteLoss with `name` if the value is NaN or infinite."""
    if not torch.isfinite(loss):
        raise NonFiniteLoss(f"{name} is {float(loss.detach())}", ANY, rows)
    return loss


@contextmanager
def naming(names: Sequence[str]) -> Iterator[None]:
    """Add the names of the affected rows to a NonFiniteLoss raised inside the block.

    `names` has one name per row of the batch; if it is empty, the error stays as it is.
    """
    try:
        yield
    except NonFiniteLoss as error:
        affected = error.names or ([names[row] for row in error.rows] or names if names else ())
        raise NonFiniteLoss(error.problem, error.remedy, names=affected) from None


@contextmanager
def at_step(step: int, names: Sequence[str], weights: Iterable[Tensor]) -> Iterator[None]:
    """Add the step, the row names and the likely cause to a NonFiniteLoss raised inside the block.

    The cause depends on whether the weights have diverged already.
    """
    try:
        with naming(names):
            yield
    except NonFiniteLoss as error:
        # of sharded weights those of this rank: no other one may be here to ask. False where one is NaN
        sane = all(bool((own(weight).abs() < SANE).all()) for weight in weights)
        if sane:
            remedy = error.remedy if error.remedy != ANY else "look at these rows, then at the learning rate"
            cause = f"all weights are still finite: {remedy}"
        else:
            cause = "the weights diverged in an earlier step: lower the learning rate"
        raise NonFiniteLoss(f"step {step}: {error.problem}", cause, names=error.names) from None
