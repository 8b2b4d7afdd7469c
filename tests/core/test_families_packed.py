"""Families of all kinds of attention: packed, padded and cached rows equal plain rows, or are not used."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as T
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from alignloop.core.checkpoint_folder import CheckpointError
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.family_check import check_family, packs
from alignloop.core.lm_training import fit
from alignloop.core.models import context_of
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import ranked_scores, scores_of
from alignloop.core.reward_training import train
from alignloop.core.tokens import Encoded

ROWS = 120
S: dict[str, Any] = {
    "vocab_size": ROWS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
G: dict[str, Any] = {"vocab_size": ROWS, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1}
LOCAL = ["sliding_attention", "full_attention"]
BLOOM: dict[str, Any] = {"vocab_size": ROWS, "hidden_size": 32, "n_layer": 2, "n_head": 4}
MAMBA: dict[str, Any] = {
    "vocab_size": ROWS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "state_size": 8,
    "max_position_embeddings": 256,
}
RECURRENT: dict[str, Any] = {
    **S,
    "num_hidden_layers": 3,
    "num_key_value_heads": 1,
    "lru_width": 32,
    "attention_window_size": 16,
    "block_types": ["recurrent", "recurrent", "attention"],
    "head_dim": 8,
}
BLOOM_256: dict[str, Any] = {**BLOOM, "seq_length": 256}
Made = Callable[[], PreTrainedConfig]
PACKED: dict[str, Made] = {
    "llama": lambda: T.LlamaConfig(**S),
    "gpt2": lambda: T.GPT2Config(**G, n_positions=256, eos_token_id=1),
    "gptj": lambda: T.GPTJConfig(**G, n_positions=256, rotary_dim=8, eos_token_id=1),
    "gptneox": lambda: T.GPTNeoXConfig(**{**S, "num_key_value_heads": 4}),
    "opt": lambda: T.OPTConfig(
        vocab_size=ROWS,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        word_embed_proj_dim=16,
        do_layer_norm_before=False,
    ),
    "phi3": lambda: T.Phi3Config(**S),
    "gemma": lambda: T.GemmaConfig(**S, head_dim=8),
    "qwen2": lambda: T.Qwen2Config(**S),
    "qwen3": lambda: T.Qwen3Config(**S, head_dim=16),
    "mixtral": lambda: T.MixtralConfig(**S, num_local_experts=4, num_experts_per_tok=2),
    "olmo2": lambda: T.Olmo2Config(**S),
    "smollm3": lambda: T.SmolLM3Config(**S),
    "falcon": lambda: T.FalconConfig(
        vocab_size=ROWS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=False
    ),
    "a window beyond the context": lambda: T.MistralConfig(**S, sliding_window=4096, head_dim=8),
}
PLAIN: dict[str, Made] = {
    "mistral": lambda: T.MistralConfig(**S, sliding_window=8, head_dim=8),
    "a long window": lambda: T.MistralConfig(**S, sliding_window=200, head_dim=8),
    "qwen2": lambda: T.Qwen2Config(
        **S, use_sliding_window=True, sliding_window=100, max_window_layers=1, layer_types=LOCAL[::-1]
    ),
    "gemma3": lambda: T.Gemma3TextConfig(**S, head_dim=8, sliding_window=64, layer_types=LOCAL),
    "gptneo": lambda: T.GPTNeoConfig(
        vocab_size=ROWS,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        max_position_embeddings=256,
        window_size=60,
        bos_token_id=1,
        eos_token_id=1,
    ),
    "mpt": lambda: T.MptConfig(vocab_size=ROWS, d_model=32, n_heads=4, n_layers=2, max_seq_len=256),
    "bloom": lambda: T.BloomConfig(**BLOOM_256),
    "falcon with alibi": lambda: T.FalconConfig(
        vocab_size=ROWS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        alibi=True,
        max_position_embeddings=256,
    ),
}
REFUSED: dict[str, Made] = {
    "rwkv": lambda: T.RwkvConfig(
        vocab_size=ROWS, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32, context_length=256
    ),
    "mamba": lambda: T.MambaConfig(**MAMBA),
    "recurrentgemma": lambda: T.RecurrentGemmaConfig(**RECURRENT),
}
PLAN: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-3, "warmup": 0.0, "weight_decay": 0.0}


def made(config: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4 if weight.dim() > 1 else 1)
    return model


def rankings() -> list[EncodedRanking]:
    """Prompts and responses longer than any window, with equal responses among them."""
    draw = np.random.default_rng(0)
    ranked = []
    for length in (30, 90, 110):
        prompt = draw.integers(2, ROWS, length).tolist()
        responses = [draw.integers(2, ROWS, size).tolist() for size in (20, 40, 9)]
        rows = [prompt + response for response in [*responses, responses[0]]]
        ranked.append(EncodedRanking(rows, [1, 2, 3, 1], len(prompt)))
    return ranked


@pytest.mark.parametrize("name", [*PACKED, *(f"plain {name}" for name in PLAIN)])
def test_scores_in_training_are_those_of_single_rows_and_packing_is_exact_or_not_used(name: str):
    exact = name in PACKED
    model = made(PACKED[name]() if exact else PLAIN[name.removeprefix("plain ")]())
    check_family(model, name)
    assert packs(model) == exact
    judge = RewardModel.from_policy(model, 0).eval()
    ranked = rankings()
    with torch.no_grad():
        trained = torch.cat([*ranked_scores(judge, ranked, 0, packs(judge.trunk))])
        apart = torch.cat([scores_of(judge, [row], 0) for ranking in ranked for row in ranking.rows])
    assert torch.allclose(trained, apart, atol=1e-4)
    list(train(judge, ranked, 0, rankings_per_step=3, random=np.random.default_rng(0), **PLAN))
    rows = [Encoded(row, [True] * len(row)) for ranking in ranked for row in ranking.rows]
    losses = []
    for packing in (False, True):
        learner = copy.deepcopy(model)
        random = np.random.default_rng(0)
        [(_, _, numbers)] = fit(learner, rows, 0, rows_per_step=99, packing=packing, random=random, **PLAN)
        losses.append(numbers["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_a_family_whose_padded_or_cached_rows_differ_is_refused_when_it_is_taken(name: str):
    model = made(REFUSED[name]())
    with pytest.raises(CheckpointError, match=r"here: this model family .* use another family"):
        check_family(model, "here")


def test_the_check_leaves_the_model_as_it_was():
    model = made(PLAIN["a long window"]())
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.train()
    state = torch.get_rng_state()
    assert not packs(model)
    check_family(model, "here")
    assert model.training
    assert model.config.sliding_window == 200
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_a_short_context_is_checked_as_far_as_it_goes():
    model = made(T.LlamaConfig(**{**S, "max_position_embeddings": 12}))
    check_family(model, "here")
    assert packs(model)


def test_the_context_is_read_where_the_family_keeps_it_and_the_remedy_works():
    assert context_of(made(PLAIN["mpt"]())) == 256
    assert context_of(made(PLAIN["bloom"]())) == 256
    bare = T.BloomConfig(vocab_size=ROWS, hidden_size=32, n_layer=1, n_head=4)
    with pytest.raises(CheckpointError, match=r'has no context length; add .* "max_position_embeddings"'):
        context_of(made(bare))
    bare.max_position_embeddings = 2048
    assert context_of(made(bare)) == 2048
