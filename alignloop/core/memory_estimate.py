"""How much memory a stage takes at its peak, reckoned before anything is loaded.

All is in bytes, of the device that the models are on. Weights, gradients and Adam's moments are fp32. What a
pass holds follows from its tokens (`tokens_per_pass`), what its head holds from `head_tokens`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from alignloop.core.model_shape import ModelShape

FLOAT = 4
PACKED = 0.5625  # bytes of a weight of four bits with its share of a scale: core/four_bits.py
PACKING = 28  # bytes of a weight that packing a layer makes; an allocator keeps it of each model (measured)
COPIED_BYTES = 64 << 20  # training state from which a checkpoint is written from a copy, by a thread
DRAWING = 24  # bytes per token of the vocabulary and row: log-probabilities, sums in doubles
ROWS = 32  # that are drawn at a time, as in `core/token_distribution.py`, which would bring torch
HALVED = 0.67  # what bf16 leaves of a pass's activations: norms and residuals stay fp32 (measured)
# tensors (tokens × vocabulary) at a time in the head, with a loss; with a log-probability and an entropy
LOSS_COPIES, LOGPROB_COPIES = 3, 2
SLOW_ACTIVATIONS = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")  # several operators, each keeps its input
Value = Literal["reward", "trunk", "none"]
TRANSIENT = ("passes", "decoding")  # parts that come and go
# what an allocator holds beyond what is in use: a share of the transient parts, and bytes. Measured with
# glibc, which returns little before 64 MB are free; a GPU's keeps blocks of like sizes and wastes less
HELD_SHARE = {"cpu": 0.5, "cuda": 0.1, "mps": 0.1}
HELD_BYTES = {"cpu": 80_000_000, "cuda": 0, "mps": 0}


@dataclass(frozen=True)
class PassSizes:
    """How long passes are, and how many at a time. `row` is the length of a prompt with its response."""

    tokens: int  # tokens_per_pass
    head_tokens: int | None
    parallel: int
    row: int  # tokens of the longest rows
    response: int  # tokens of them that are the response
    bf16: bool = False
    checkpointing: bool = False
    four_bits: bool = False  # linear layers that do not learn
    saves: bool = False  # checkpoints are written while training goes on
    host: bool = True  # the device of the models is the CPU

    @property
    def whole(self) -> int:
        """Tokens of a full pass: a row that is longer than the limit is a pass by itself."""
        return max(self.tokens, self.row)


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
        transient = sum(self.parts.get(name, 0) for name in TRANSIENT)
        held = HELD_BYTES[device] + round(HELD_SHARE[device] * transient)
        return Usage(self.stage, {**self.parts, "allocator": held})


def activations(shape: ModelShape, sizes: PassSizes, tokens: int) -> int:
    """What a pass of so many tokens keeps for its backward pass (measured on Llama, GPT-NeoX, GPT-2)."""
    layer = tokens * _layer_floats(shape, sizes.row) * FLOAT
    if sizes.bf16:
        layer *= HALVED
    kept = shape.layers * layer
    if sizes.checkpointing:  # each layer's input, and one layer that is computed again
        kept = shape.layers * tokens * shape.width * FLOAT + layer
    return round(kept + tokens * 3 * shape.width * FLOAT)


def _layer_floats(shape: ModelShape, row: int) -> float:
    """Floats that a layer keeps for each token: inputs of matrices and norms, queries, keys, values."""
    inner = 4.0 if shape.gated else 2.0
    if shape.activation in SLOW_ACTIVATIONS:
        inner += 1.0 if shape.gated else 3.0
    return inner * shape.inner + 2 * shape.queries + 2 * shape.keys + 6.3 * shape.width + row


def forward(shape: ModelShape, tokens: int) -> int:
    """What a pass without gradients holds at a time: about one layer."""
    return tokens * (3 * shape.inner + 8 * shape.width) * FLOAT


def head(shape: ModelShape, sizes: PassSizes, targets: int, copies: int) -> int:
    """The logits of a pass's targets and what is computed of them."""
    return min(targets, sizes.head_tokens or targets) * shape.vocabulary * copies * FLOAT


def gradients(sizes: PassSizes, trainable: int, several: bool, pass_bytes: int) -> dict[str, int]:
    """The sum of the gradients, and the passes that make them.

    One pass at a time adds each gradient to the sum as it comes. Of several, each has its own: activations go
    as gradients come, so the larger counts.
    """
    own = FLOAT * trainable
    if sizes.parallel == 1:
        return {"gradients": own, "passes": pass_bytes}
    running = sizes.parallel if several else 1
    return {"gradients": own if several else 0, "passes": running * max(pass_bytes, own)}


def frozen(shape: ModelShape, weights: int, sizes: PassSizes) -> int:
    """A model that does not learn: with bf16 its linear layers are kept so, its embeddings in fp32."""
    if sizes.four_bits:
        return loaded(shape, weights, sizes)
    embeddings = shape.vocabulary * shape.width
    return FLOAT * embeddings + (2 if sizes.bf16 else FLOAT) * (weights - embeddings)


def loaded(shape: ModelShape, weights: int, sizes: PassSizes) -> int:
    """A model that learns or is under adapters: fp32, or its linear layers in four bits."""
    return round(FLOAT * weights - (FLOAT - PACKED) * shape.linear) if sizes.four_bits else FLOAT * weights


def copies(shape: ModelShape, weights: int, sizes: PassSizes) -> int:
    """The copies in bf16 that a pass makes of fp32 weights, and keeps for its backward pass."""
    whole = weights - shape.linear if sizes.four_bits else weights
    return 2 * whole * sizes.parallel if sizes.bf16 else 0


def unpacked(shape: ModelShape, sizes: PassSizes, models: int = 1) -> int:
    """The largest layer of four bits as a pass reads it; on the CPU also what packing `models` left."""
    if not sizes.four_bits:
        return 0
    packing = models * PACKING if sizes.host else 0
    return shape.inner * shape.width * ((2 if sizes.bf16 else FLOAT) * sizes.parallel + packing)


def merging(shape: ModelShape, sizes: PassSizes) -> int:
    """What a policy of four bits grows by when it is saved: it becomes whole, on the CPU."""
    return round((FLOAT - PACKED) * shape.linear) if sizes.four_bits and sizes.host else 0


def checkpoint(sizes: PassSizes, state: int) -> int:
    """The copy of `state` bytes of training state that a thread writes while training goes on."""
    return state if sizes.saves and sizes.host and state >= COPIED_BYTES else 0


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
    return Usage(stage, held | _largest(learn, {"whole policy": merging(shape, sizes)}))


def _largest(*moments: dict[str, int]) -> dict[str, int]:
    """The parts of the moment that needs most; they do not meet."""
    return max(moments, key=lambda parts: sum(parts.values()))


def reading(stage: str, shape: ModelShape, sizes: PassSizes) -> Usage:
    """A model whose loss is measured and that learns nothing."""
    kept = forward(shape, sizes.whole) + head(shape, sizes, sizes.whole, LOSS_COPIES)
    return Usage(stage, {"weights": FLOAT * shape.weights, "passes": sizes.parallel * kept})


def reward_training(
    shape: ModelShape, sizes: PassSizes, *, rows: int, responses: int, trainable: int
) -> Usage:
    """The reward model beside the SFT model that it was made from.

    `rows` are a step's rankings, each of a prompt and `responses` that branch from it in one row.
    """
    ranking = sizes.row + (responses - 1) * sizes.response
    tokens = min(max(sizes.whole, ranking), rows * ranking)
    kept = activations(shape, sizes, tokens) + 2 * FLOAT * tokens * ranking  # the mask of the branches
    held = {
        "weights": loaded(shape, shape.trunk, sizes),
        "SFT model": loaded(shape, shape.weights, sizes),
        "bf16 copies": copies(shape, shape.trunk, sizes),
        "Adam": 2 * FLOAT * trainable,
        "checkpoint": checkpoint(sizes, 3 * FLOAT * trainable),
    }
    kept += unpacked(shape, sizes)
    learn = gradients(sizes, trainable, rows * ranking > tokens, kept)
    return Usage("reward", held | _largest(learn, {"whole reward model": merging(shape, sizes)}))


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
    trainable = learning + (shape.trunk if own_value else 0)
    scoring = frozen(shape, shape.trunk, sizes) * (2 if models.held_out else 1)
    averages = FLOAT * learning * (2 if models.keeps_best else 1)
    held = {
        "policy": loaded(shape, shape.weights, sizes) + (0 if models.rank is None else FLOAT * learning),
        "value model": FLOAT * shape.trunk if own_value else 0,
        "reference": frozen(shape, shape.weights, sizes) if models.reference == "model" else 0,
        "reward model": scoring,
        "Adam": 2 * FLOAT * trainable,
        "EMA": averages,
        "bf16 copies": copies(shape, shape.weights + (shape.trunk if own_value else 0), sizes),
        "checkpoint": checkpoint(sizes, 3 * FLOAT * trainable + averages),
    }
    tokens = min(sizes.whole, rows * sizes.row)
    targets = -(-tokens * sizes.response // sizes.row)
    packed = unpacked(shape, sizes, 2 + (models.reference == "model") + models.held_out)
    kept = activations(shape, sizes, tokens) * (2 if own_value else 1) + packed
    kept += head(shape, sizes, targets, LOGPROB_COPIES)
    learn = gradients(sizes, trainable, rows * sizes.row > sizes.whole, kept)
    draw = {"decoding": decoding(shape, sizes, responses, batch) + packed}
    return Usage("ppo", held | _largest(learn, draw, {"whole policy": merging(shape, sizes)}))


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
    return Usage("dpo", held | _largest(learn, draw, {"whole policy": merging(shape, sizes)}))


def decoding(shape: ModelShape, sizes: PassSizes, responses: int, batch: int) -> int:
    """The KV caches of the rows that are decoded at a time, their logits, and the prompts' pass."""
    rows = min(responses, batch * sizes.parallel)
    cache = 2 * shape.keys * shape.layers * sizes.row * (2 if sizes.bf16 else FLOAT)
    cache += cache // shape.layers  # a layer's cache is copied as it grows
    step = shape.vocabulary * (rows * FLOAT + min(rows, ROWS * sizes.parallel) * DRAWING)
    prompt = forward(shape, sizes.row - sizes.response)
    return max(rows * cache + step, rows * (prompt + cache))


def drawing(stage: str, shape: ModelShape, sizes: PassSizes, *, models: int, rows: int, batch: int) -> Usage:
    """Stages that draw and score without learning; `models` are held at a time."""
    parts = {
        "weights": FLOAT * shape.weights * models,
        "decoding": decoding(shape, sizes, rows, batch),
    }
    return Usage(stage, parts)
