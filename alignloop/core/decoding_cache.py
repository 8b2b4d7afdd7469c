"""The key/value cache of decoding: memory for all steps at once, so that a step copies nothing.

transformers' own cache concatenates: each step copies all steps before it. Layers that keep a window of their
own, or another state, are left as they are.
"""

from typing import Any

from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer


class RoomyLayer(DynamicLayer):
    """A layer's keys and values (B, heads, T, width) with room for `room` tokens, or more if need be."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self._buffers: list[Tensor] = []

    def update(
        self, key_states: Tensor, value_states: Tensor, *arguments: Any, **keywords: Any
    ) -> tuple[Tensor, Tensor]:
        """Keep the states of new tokens; returns those of all tokens."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before, new = self.get_seq_length(), (key_states, value_states)
        after = before + key_states.shape[-2]
        if not self._buffers or self._buffers[0].shape[-2] < after:
            room = max(self.room, after)
            grown = [states.new_empty(*states.shape[:2], room, states.shape[3]) for states in new]
            for buffer, old in zip(grown, self._buffers, strict=False):  # at first there are no old ones
                buffer[:, :, :before] = old[:, :, :before]
            self._buffers = grown
        for buffer, states in zip(self._buffers, new, strict=True):
            buffer[:, :, before:after] = states
        self.keys, self.values = (buffer[:, :, :after] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows only."""
        length = self.get_seq_length()
        self._buffers = [buffer[indices] for buffer in self._buffers]
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)


def roomy_cache(config: PreTrainedConfig, room: int) -> DynamicCache:
    """An empty cache for a model of this configuration, with room for `room` tokens a row."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
