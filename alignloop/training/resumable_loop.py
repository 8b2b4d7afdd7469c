"""Walking a training so that it can be left at any moment: each step's numbers go into a journal, its state into the checkpoint."""

import json
from collections.abc import Callable, Iterator, Mapping

from alignloop.core.training_loop import Training
from alignloop.progress import Progress
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.journal import Journal


def learn(
    training: Training,
    checkpoint: Checkpoint,
    curve: Journal,
    prefix: str = "",
    check: Callable[[int], Mapping[str, float]] = lambda step: {},
) -> Iterator[Progress]:
    """Recall the steps that the checkpoint knows, and train those that are left; `prefix` tells metrics of two trainings apart.

    What `check` finds after a step counts among its numbers.
    """
    checkpoint.hold(**{f"{prefix}training": training})
    yield from recalled(curve, training.steps, prefix)
    for step, steps, learned in training:
        numbers = {**learned, **check(step)}
        curve.add(json.dumps([step, numbers]))
        yield Progress(step, steps, {f"{prefix}{name}": number for name, number in numbers.items()})
        checkpoint.after(step, last=step == steps)


def recalled(curve: Journal, steps: int, prefix: str = "") -> Iterator[Progress]:
    """The steps of a journal, as they were told when they were done."""
    for step, numbers in points(curve):
        yield Progress(
            step, steps, {f"{prefix}{name}": number for name, number in numbers.items()}, recalled=True
        )


def points(curve: Journal) -> list[tuple[int, dict[str, float]]]:
    """The numbers of each step so far."""
    return [(step, numbers) for step, numbers in map(json.loads, curve)]
