"""A training loop that can be interrupted at any step and resumed.

Each step's numbers go into a journal, its state into the checkpoint.
"""

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
    validate: Callable[[int], Mapping[str, float]] = lambda step: {},
) -> Iterator[Progress]:
    """Replay the steps that the checkpoint contains, and train the remaining ones.

    The numbers that `validate` returns after a step are added to its own; `prefix` distinguishes the metrics
    of two trainings in one stage.
    """
    checkpoint.hold(**{f"{prefix}training": training})
    yield from recalled(curve, training.steps, prefix)
    for step, steps, learned in training:
        numbers = {**learned, **validate(step)}
        curve.add(json.dumps([step, numbers]))
        yield Progress(step, steps, {f"{prefix}{name}": number for name, number in numbers.items()})
        checkpoint.after(step, last=step == steps)


def recalled(curve: Journal, steps: int, prefix: str = "") -> Iterator[Progress]:
    """The steps of a journal, as they were reported when they were done."""
    for step, numbers in points(curve):
        yield Progress(
            step, steps, {f"{prefix}{name}": number for name, number in numbers.items()}, recalled=True
        )


def points(curve: Journal) -> list[tuple[int, dict[str, float]]]:
    """The numbers of every step so far."""
    return [(step, numbers) for step, numbers in map(json.loads, curve)]
