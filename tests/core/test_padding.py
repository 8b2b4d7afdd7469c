"""A pad token that is the end token, or none, changes nothing: SFT, reward model and PPO see masks."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core.checkpoint_folder import load_tokenizer
from alignloop.core.lm_training import accumulate_gradients
from alignloop.core.models import load_policy, save_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import scores_of
from alignloop.core.tokens import Encoded, encode_dialogue, end_of, pad_of
from tests.core.bandit import Run

TALKS = (["Is it green?", "Yes."], ["Who painted the door, and when did he paint it?", "Ada."])


@pytest.fixture(params=["end", "none"])
def padded(
    request: pytest.FixtureRequest,
    learner: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> Path:
    """A checkpoint whose pad token is its end token, or that has none."""
    other = copy.deepcopy(tokenizer)
    other.pad_token = other.eos_token if request.param == "end" else None
    learner.config.pad_token_id = end_of(tokenizer) if request.param == "end" else None
    save_policy(learner, other, tmp_path / "policy")
    return tmp_path / "policy"


def row(tokenizer: PreTrainedTokenizerFast, talk: list[str]) -> Encoded:
    roles = ("user", "assistant")
    return encode_dialogue(
        tokenizer, [{"role": role, "content": text} for role, text in zip(roles, talk, strict=True)]
    )


def test_sft_has_the_gradient_of_a_pad_token_of_its_own(
    padded: Path, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    own = copy.deepcopy(policy)
    model, other = load_policy(padded)
    assert pad_of(other) == end_of(tokenizer)
    rows = [row(tokenizer, talk) for talk in TALKS]
    assert accumulate_gradients(model, rows, pad_of(other)) == accumulate_gradients(
        own, rows, pad_of(tokenizer)
    )
    for mine, theirs in zip(model.parameters(), own.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-6)


def test_a_loaded_reward_model_learns_the_end_tokens_embedding(
    padded: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model, other = load_policy(padded)
    RewardModel.from_policy(model, 0).save(tmp_path / "reward", other)
    loaded = RewardModel.load(tmp_path / "reward")
    rows = [row(tokenizer, talk).ids for talk in TALKS]
    scores_of(loaded, rows, pad_of(load_tokenizer(padded))).sum().backward()
    gradient = cast(nn.Embedding, loaded.trunk.get_input_embeddings()).weight.grad
    assert gradient is not None
    assert gradient[end_of(tokenizer)].abs().sum() > 0


def test_scores_do_not_depend_on_the_pad_token(padded: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    model, _ = load_policy(padded)
    judge = RewardModel.from_policy(model, 0)
    rows = [row(tokenizer, talk).ids for talk in TALKS]
    with torch.no_grad():
        scores = [scores_of(judge, rows, pad) for pad in (end_of(tokenizer), pad_of(tokenizer), 7)]
    assert all(torch.allclose(scores[0], other, atol=1e-5) for other in scores[1:])


def test_ppo_takes_the_same_steps_whatever_fills_rows_up(run: Run, other: Run) -> None:
    other.rules = replace(other.rules, pad=other.rules.end)
    assert run.rules.pad != other.rules.pad
    [mine], [theirs] = run.steps(), other.steps()
    assert mine.rollouts.responses == theirs.rollouts.responses
    for name, value in mine.metrics.items():
        assert theirs.metrics[name] == pytest.approx(value, abs=1e-5), name
    for one, another in zip(run.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.allclose(one, another, atol=1e-6)
