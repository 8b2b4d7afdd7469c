"""The sizes of a checkpoint, from its config.json and the headers of its safetensors files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

WIDTH = ("hidden_size", "n_embd", "d_model")
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads")
INNER = ("intermediate_size", "ffn_dim", "n_inner", "d_ff")
ACTIVATION = ("hidden_act", "activation_function", "hidden_activation")
CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "context_length")
ADAPTER = "adapter_config.json"  # of a LoRA adapter
GATED = ("gate_proj", "gate_up_proj", "experts")  # names in the feed-forward layers that multiply two halves


@dataclass(frozen=True)
class ModelShape:
    """A language model's sizes: numbers of weights, and of floats in its layers."""

    family: str
    weights: int  # of all tensors, tied ones once
    vocabulary: int  # rows of the embeddings
    width: int
    layers: int
    inner: int  # of the feed-forward layers
    queries: int  # heads × width of a head
    keys: int  # heads of keys × width of a head
    tied: bool  # embeddings and head are one tensor
    gated: bool  # the feed-forward layers multiply two halves (SwiGLU)
    activation: str = "silu"
    context: int | None = None  # tokens; None where the config has none

    @property
    def trunk(self) -> int:
        """The weights without a head of their own: what a reward model has."""
        return self.weights if self.tied else self.weights - self.vocabulary * self.width

    @property
    def linear(self) -> int:
        """The weights of the linear layers, about: all but embeddings and head."""
        return self.trunk - self.vocabulary * self.width

    def adapters(self, rank: int) -> int:
        """The weights of LoRA adapters of this rank on every linear layer but the head."""
        attention = (self.width + self.queries) * 2 + (self.width + self.keys) * 2
        matrices = 3 if self.gated else 2
        return self.layers * rank * (attention + matrices * (self.width + self.inner))


def is_adapter(folder: Path) -> bool:
    """Whether a folder is a LoRA adapter and no whole model."""
    return (folder / ADAPTER).is_file() and not list(folder.glob("model*.safetensors"))


def feed_forward(width: int) -> int:
    """The width inside a Llama's feed-forward layers: 8/3 of the model's, a multiple of 32."""
    return -(-width * 8 // 3 // 32) * 32


def llama_shape(
    *,
    vocabulary: int,
    width: int,
    layers: int,
    inner: int,
    queries: int,
    keys: int,
    tied: bool = True,
    context: int | None = None,
) -> ModelShape:
    """The shape of a Llama with these sizes, which no folder holds."""
    layer = width * (2 * queries + 2 * keys + 3 * inner) + 2 * width
    weights = vocabulary * width * (1 if tied else 2) + layers * layer + width
    return ModelShape(
        family="llama",
        weights=weights,
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        inner=inner,
        queries=queries,
        keys=keys,
        tied=tied,
        gated=True,
        context=context,
    )


def shape_of(folder: Path) -> ModelShape | None:
    """The shape of a checkpoint or of a reward model; None where the config lacks a size or a file is broken.

    Whoever loads such a folder says what is wrong with it.
    """
    try:
        whole: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = tensor_shapes(folder)
    except (OSError, ValueError, SafetensorError):
        return None
    inner = whole.get("text_config") if isinstance(whole, dict) else None
    config: Mapping[str, Any] = {**whole, **inner} if isinstance(inner, dict) else whole
    width, layers, heads = (_first(config, keys) for keys in (WIDTH, LAYERS, HEADS))
    rows = config.get("vocab_size")
    if not (width and layers and heads and isinstance(rows, int)):
        return None
    head = _first(config, ("head_dim",)) or width // heads
    keys = _first(config, ("num_key_value_heads",)) or heads
    names = [name for name in tensors if name != "lm_head.weight"]
    has_head = any(name.endswith(("lm_head.weight", "embed_out.weight")) for name in tensors)
    return ModelShape(
        family=str(config.get("model_type")),
        weights=sum(prod(shape) for shape in tensors.values()),
        vocabulary=rows,
        width=width,
        layers=layers,
        inner=_first(config, INNER) or 4 * width,
        queries=heads * head,
        keys=keys * head,
        tied=not has_head,
        gated=any(mark in name for name in names for mark in GATED),
        activation=next((str(config[key]) for key in ACTIVATION if config.get(key)), "silu"),
        context=_first(config, CONTEXT) or None,
    )


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a folder's model files, by name. Raises SafetensorError."""
    found: dict[str, tuple[int, ...]] = {}
    for file in weight_files(folder):
        with safe_open(file, framework="np") as content:
            names = content.keys()
            found |= {name: tuple(content.get_slice(name).get_shape()) for name in names}
    return found


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the model itself, without a reward model's head."""
    return sorted(file for file in folder.glob("*.safetensors") if file.name != "head.safetensors")


def _first(config: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    """The first of these keys that holds a number, or 0."""
    return next((config[key] for key in keys if isinstance(config.get(key), int)), 0)
