"""What passes hold, and the weights that they read, in bytes of the device that the models are on.

Weights, gradients and Adam's moments are fp32. What a pass holds follows from its tokens
(`tokens_per_pass`), what its head holds from `head_tokens`.
"""

from dataclasses import dataclass

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
    """What a pass without gradients holds at a time: its states, and the largest moment of one layer."""
    return tokens * (3 * max(shape.inner, 2 * shape.queries) + 3 * shape.width) * FLOAT


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


def decoding(shape: ModelShape, sizes: PassSizes, responses: int, batch: int) -> int:
    """The KV caches of the rows that are decoded at a time, their logits, and the prompts' pass."""
    rows = min(responses, batch * sizes.parallel)
    # with bf16 keys stay fp32, as the rotation by their positions does
    cache = shape.keys * shape.layers * sizes.row * (FLOAT + (2 if sizes.bf16 else FLOAT))
    # where heads share keys, a layer's are copied for each of them
    shared = 2 * shape.queries * sizes.row * FLOAT if shape.queries > shape.keys else 0
    step = shape.vocabulary * (rows * FLOAT + min(rows, ROWS * sizes.parallel) * DRAWING)
    prompt = sizes.row - sizes.response
    first = rows * (
        forward(shape, prompt) + cache * prompt // sizes.row
    )  # the rest of the cache is not used yet
    return max(first, rows * (cache + shared) + step)
