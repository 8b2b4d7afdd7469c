"""The cache of decoding holds what transformers' own holds, also beyond its room and after rows have left."""

import pytest
import torch
from transformers import DynamicCache, PreTrainedModel, Qwen2Config

from alignloop.core.decoding_cache import RoomyLayer, roomy_cache


@pytest.mark.parametrize("room", [1, 4, 12])
def test_keys_and_values_are_those_of_transformers_own_cache(policy: PreTrainedModel, room: int):
    ours, theirs = roomy_cache(policy.config, room), DynamicCache(config=policy.config)
    generator = torch.Generator().manual_seed(0)
    count = 4
    for width, kept in ((3, [0, 0, 2, 3, 3]), (1, [1, 4]), (2, [1])):
        for layer in range(2):
            keys, values = (torch.randn(count, 4, width, 8, generator=generator) for _ in range(2))
            found = ours.update(keys, values, layer), theirs.update(keys, values, layer)
            assert all(torch.equal(mine, other) for mine, other in zip(*found, strict=True))
        assert ours.get_seq_length() == theirs.get_seq_length()
        for cache in (ours, theirs):
            cache.batch_select_indices(torch.tensor(kept))
        count = len(kept)


def test_a_step_within_the_room_moves_nothing():
    layer = RoomyLayer(room=5)
    places = {layer.update(torch.ones(2, 4, 1, 8), torch.ones(2, 4, 1, 8))[0].data_ptr() for _ in range(5)}
    assert len(places) == 1
    assert layer.update(torch.ones(2, 4, 1, 8), torch.ones(2, 4, 1, 8))[0].shape[-2] == 6


def test_layers_with_a_window_of_their_own_are_left_as_they_are():
    config = Qwen2Config(num_hidden_layers=2, use_sliding_window=True, sliding_window=4, max_window_layers=1)
    full, sliding = roomy_cache(config, 8).layers
    assert isinstance(full, RoomyLayer)
    assert not isinstance(sliding, RoomyLayer)
