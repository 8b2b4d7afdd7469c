"""SFT, reward model and PPO run on checkpoints of other model families, read from disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from alignloop.core import encoded_ranking, reward_scoring, reward_training
from alignloop.core.kl_controller import FixedKl
from alignloop.core.lm_training import fit
from alignloop.core.models import context_of, load_policy, save_policy, token_rules
from alignloop.core.ppo import Trainer
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import encode_dialogue, encode_prompt, encode_response
from tests.core.bandit import CONFIG
from tests.core.test_tokens import CHATML

SIZES: dict[str, Any] = {
    "vocab_size": 340,  # more than the tokenizer has, as many hub checkpoints do
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
}
FAMILIES = [
    GPT2Config(vocab_size=340, n_embd=32, n_layer=2, n_head=4, n_positions=96),
    LlamaConfig(**SIZES, tie_word_embeddings=False),
    Qwen2Config(**SIZES, tie_word_embeddings=True),
    Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True),
]


@pytest.mark.parametrize("config", FAMILIES, ids=lambda config: config.model_type)
def test_a_checkpoint_of_any_family_runs_through_sft_reward_model_and_ppo(
    config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, sentences: list[str], tmp_path: Path
):
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in base.parameters():
            weight.mul_(4 if weight.dim() > 1 else 1)
    template = tokenizer.chat_template
    if config.model_type.startswith("qwen"):
        tokenizer.chat_template = CHATML.replace("<|im_end|>", "<|end|>").replace("<|im_start|>", "<|user|>")
    try:
        save_policy(base, tokenizer, tmp_path / "base")
    finally:
        tokenizer.chat_template = template
    policy, its_tokenizer = load_policy(tmp_path / "base")
    assert context_of(policy) == 96
    rules = token_rules(its_tokenizer, policy)
    pad = rules.pad
    talks = [
        [{"role": "user", "content": text[:9]}, {"role": "assistant", "content": text[:5]}]
        for text in sentences
    ]

    demonstrations = [encode_dialogue(its_tokenizer, talk) for talk in talks]
    plan: dict[str, Any] = {
        "epochs": 3,
        "learning_rate": 1e-3,
        "warmup": 0.0,
        "weight_decay": 0.0,
        "random": np.random.default_rng(0),
    }
    losses = [numbers["loss"] for _, _, numbers in fit(policy, demonstrations, pad, rows_per_step=4, **plan)]
    assert losses[-1] < losses[0]

    prompts = [encode_prompt(its_tokenizer, talk[:1]) for talk in talks]
    responses = [encode_response(its_tokenizer, text) for text in ("yes", "no", "no")]
    ranked = [
        encoded_ranking.EncodedRanking([prompt + response for response in responses], [1, 2, 2])
        for prompt in prompts
    ]
    judge = RewardModel.from_policy(policy, seed=0)
    list(reward_training.train(judge, ranked, pad, rankings_per_step=2, **plan))
    reward_training.normalise(judge, [row.ids for row in demonstrations], pad)
    judge.save(tmp_path / "reward", its_tokenizer)
    loaded, value = (RewardModel.load(tmp_path / "reward") for _ in range(2))
    assert torch.equal(
        reward_scoring.score(loaded, ranked[0].rows, pad), reward_scoring.score(judge, ranked[0].rows, pad)
    )

    [step] = Trainer(
        policy,
        load_policy(tmp_path / "base")[0],
        value,
        score=lambda prompts, responses: reward_scoring.score(
            loaded, [a + b for a, b in zip(prompts, responses, strict=True)], pad
        ),
        prompts=prompts,
        ptx=demonstrations,
        controller=FixedKl(0.1),
        rules=rules,
        config=replace(
            CONFIG,
            prompts_per_step=16,
            max_new_tokens=10,
            minibatches=1,
            ptx_coef=1.0,
            ptx_documents_per_step=4,
        ),
        random=np.random.default_rng(0),
        generator=torch.Generator().manual_seed(0),
    )
    assert abs(step.metrics["ratio_first"] - 1) < 1e-5
    assert step.metrics["ratio_distance"] < 1e-4
    assert all(np.isfinite(list(step.metrics.values())))
    assert all(rules.allowed[token] for response in step.rollouts.responses for token in response)
    save_policy(policy, its_tokenizer, tmp_path / "tuned")
    ids = torch.tensor([prompts[0]])
    torch.testing.assert_close(
        load_policy(tmp_path / "tuned")[0](input_ids=ids).logits, policy(input_ids=ids).logits
    )
