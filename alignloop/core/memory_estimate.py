"""How much memory a stage takes at its peak, reckoned before anything is loaded.

All is in bytes, of the device that the models are on: `pass_memory.py` has the parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from alignloop.core.model_shape import ModelShape
from alignloop.core.pass_memory import (
    FLOAT,
    LOGPROB_COPIES,
    LOSS_COPIES,
    PassSizes,
    activations,
    checkpoint,
    copies,
    decoding,
    forward,
    frozen,
    gradients,
    head,
    loaded,
    merging,
    unpacked,
)

Value = Literal["reward", "trunk", "none"]
# parts that come and go, and what an allocator holds beyond them: bytes, and a share of them. Measured with
# glibc, which returns little before 64 MB are free, but the large blocks of caches at once; a GPU's keeps
# blocks of like sizes and wastes less
TRANSIENT = ("passes", "decoding")
HELD = {
    "cpu": {"passes": (80_000_000, 0.5), "decoding": (40_000_000, 0.0)},
    "cuda": {"passes": (0, 0.1), "decoding": (0, 0.1)},
    "mps": {"passes": (0, 0.1), "decoding": (0, 0.1)},
}


@dataclass(frozen=True)
class Usage:
    """What is held at a stage's peak, by name, in bytes."""

    stage: str
    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def on(self, device: str) -> "Usage":
        """The same with what the device's allocator holds beyond it."""
        return Usage(self.stage, {**self.parts, "allocator": _held(self.parts, device)})


def _held(parts: Mapping[str, int], device: str) -> int:
    """What the device's allocator holds beyond parts that come and go; without one, passes went."""
    bytes, share = HELD[device]["decoding" if "decoding" in parts else "passes"]
    return bytes + round(share * sum(parts.get(name, 0) for name in TRANSIENT))


def lm_training(
    stage: str, shape: ModelShape, sizes: PassSizes, *, rows: int, keeps_best: bool, trainable: int
) -> Usage:
    """Pretraining and SFT of one model; `rows` are those of a step, `trainable` its weights that learn.

    `keeps_best`: a copy of the best weights is kept (`sft.validations`).
    """
    tokens = min(sizes.whole, rows * sizes.row)
    kept = head(shape, sizes, tokens, LOSS_COPIES) + activations(shape, sizes, tokens)
    held = {
        "weights": loaded(shape, shape.weights, sizes),
        "bf16 copies": copies(shape, shape.weights, sizes),
        "Adam": 2 * FLOAT * trainable,
        "best weights": FLOAT * trainable if keeps_best else 0,
        "checkpoint": checkpoint(sizes, FLOAT * trainable * (4 if keeps_best else 3)),
    }
    learn = gradients(sizes, trainable, rows * sizes.row > sizes.whole, kept + unpacked(shape, sizes))
    return Usage(stage, held | _largest(sizes, learn, {"whole policy": merging(shape, sizes)}))


def _largest(sizes: PassSizes, *moments: dict[str, int]) -> dict[str, int]:
    """The parts of the moment that needs most; they do not meet."""
    device = "cpu" if sizes.host else "cuda"
    return max(moments, key=lambda parts: sum(parts.values()) + _held(parts, device))


def reading(stage: str, shape: ModelShape, sizes: PassSizes) -> Usage:
    """A model whose loss is measured and that learns nothing."""
    kept = forward(shape, sizes.whole) + head(shape, sizes, sizes.whole, LOSS_COPIES)
    return Usage(stage, {"weights": FLOAT * shape.weights, "passes": sizes.parallel * kept})


def reward_training(
    shape: ModelShape, sizes: PassSizes, *, rows: int, responses: int, trainable: int, held_out: bool = False
) -> Usage:
    """The reward model beside the SFT model that it was made from.

    `rows` are a step's rankings, each of a prompt and `responses` that branch from it in one row.
    `held_out`: a second reward model learns after the first, which is still held.
    """
    ranking = sizes.row + (responses - 1) * sizes.response
    tokens = min(max(sizes.whole, ranking), rows * ranking)
    kept = activations(shape, sizes, tokens) + 2 * FLOAT * tokens * ranking  # the mask of the branches
    held = {
        "weights": loaded(shape, shape.trunk, sizes),
        "first reward model": loaded(shape, shape.trunk, sizes) if held_out else 0,
        "SFT model": loaded(shape, shape.weights, sizes),
        "bf16 copies": copies(shape, shape.trunk, sizes),
        "Adam": 2 * FLOAT * trainable,
        "checkpoint": checkpoint(sizes, 3 * FLOAT * trainable),
    }
    kept += unpacked(shape, sizes)
    learn = gradients(sizes, trainable, rows * ranking > tokens, kept)
    return Usage("reward", held | _largest(sizes, learn, {"whole reward model": merging(shape, sizes)}))


@dataclass(frozen=True)
class PpoModels:
    """Which models PPO holds. `rank`: that of LoRA adapters, None: all weights learn."""

    rank: int | None = None
    reference: Literal["model", "adapter"] = "model"
    value: Value = "reward"
    held_out: bool = False  # a second reward model for the guard
    keeps_best: bool = False  # a guard that stops keeps the best average


def ppo(
    shape: ModelShape, sizes: PassSizes, models: PpoModels, *, rows: int, responses: int, batch: int
) -> Usage:
    """PPO: `rows` responses of a minibatch learn together, of `responses` in a step; `batch` are decoded."""
    learning = shape.weights if models.rank is None else shape.adapters(models.rank)
    own_value = models.value == "reward"
    in_value = 0
    if own_value:
        in_value = shape.trunk if models.rank is None else shape.adapters(models.rank)
    trainable = learning + in_value
    scoring = frozen(shape, shape.trunk, sizes) * (2 if models.held_out else 1)
    averages = FLOAT * learning * (2 if models.keeps_best else 1)
    adapted = 0 if models.rank is None else FLOAT  # bytes of an adapter's weight, beside the whole model's
    held = {
        "policy": loaded(shape, shape.weights, sizes) + adapted * learning,
        "value model": loaded(shape, shape.trunk, sizes) + adapted * in_value if own_value else 0,
        "reference": frozen(shape, shape.weights, sizes) if models.reference == "model" else 0,
        "reward model": scoring,
        "Adam": 2 * FLOAT * trainable,
        "EMA": averages,
        "bf16 copies": copies(shape, shape.weights + (shape.trunk if own_value else 0), sizes),
        "checkpoint": checkpoint(sizes, 3 * FLOAT * trainable + averages),
    }
    tokens = min(sizes.whole, rows * sizes.row)
    targets = -(-tokens * sizes.response // sizes.row)
    packed = unpacked(shape, sizes, 2 + own_value + (models.reference == "model") + models.held_out)
    kept = activations(shape, sizes, tokens) * (2 if own_value else 1) + packed
    kept += head(shape, sizes, targets, LOGPROB_COPIES)
    learn = gradients(sizes, trainable, rows * sizes.row > sizes.whole, kept)
    draw = {"decoding": decoding(shape, sizes, responses, batch) + packed}
    return Usage("ppo", held | _largest(sizes, learn, draw, {"whole policy": merging(shape, sizes)}))


@dataclass(frozen=True)
class DpoModels:
    """Which models a training on rankings holds. `rank`: that of LoRA adapters, None: all weights learn."""

    rank: int | None = None
    adapter_reference: bool = False
    held_out: bool = False  # a second reward model for the guard


def dpo(
    shape: ModelShape,
    sizes: PassSizes,
    models: DpoModels,
    *,
    rows: int,
    responses: int,
    drawn: int,
    batch: int,
) -> Usage:
    """Training on rankings: `rows` rankings of `responses` learn together; a validation draws `drawn`."""
    learning = shape.weights if models.rank is None else shape.adapters(models.rank)
    scoring = frozen(shape, shape.trunk, sizes) * (2 if models.held_out else 1)
    held = {
        "policy": loaded(shape, shape.weights, sizes) + (0 if models.rank is None else FLOAT * learning),
        "reference": 0 if models.adapter_reference else frozen(shape, shape.weights, sizes),
        "reward model": scoring,
        "Adam": 2 * FLOAT * learning,
        "best weights": FLOAT * learning,
        "bf16 copies": copies(shape, shape.weights, sizes),
        "checkpoint": checkpoint(sizes, 4 * FLOAT * learning),
    }
    ranking = sizes.row + (responses - 1) * sizes.response
    tokens = min(max(sizes.whole, ranking), rows * ranking)
    kept = activations(shape, sizes, tokens) + 2 * FLOAT * tokens * ranking  # the mask of the branches
    targets = -(-tokens * responses * sizes.response // ranking)
    packed = unpacked(shape, sizes, 2 + (not models.adapter_reference) + models.held_out)
    kept += head(shape, sizes, targets, LOGPROB_COPIES) + packed
    learn = gradients(sizes, learning, rows * ranking > tokens, kept)
    draw = {"decoding": decoding(shape, sizes, drawn, batch) + packed}
    return Usage("dpo", held | _largest(sizes, learn, draw, {"whole policy": merging(shape, sizes)}))


def drawing(
    stage: str, shape: ModelShape, sizes: PassSizes, *, policies: int, scorers: int, rows: int, batch: int
) -> Usage:
    """Stages that draw `rows` responses without learning; `policies` and reward models are held at a time."""
    sizes = replace(sizes, four_bits=False)
    read = forward(shape, sizes.whole) + head(shape, sizes, sizes.whole, LOSS_COPIES)
    held = {
        "weights": FLOAT * shape.weights * policies,
        "reward model": frozen(shape, shape.trunk, sizes) * scorers,
        "bf16 copies": copies(shape, shape.weights, sizes),
    }
    draw = {"decoding": decoding(shape, sizes, rows, batch)}
    return Usage(stage, held | _largest(sizes, draw, {"passes": sizes.parallel * read if scorers else 0}))
