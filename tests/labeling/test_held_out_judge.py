"""The reward model of held-out labelers as the judge: its scores decide, not those of the round's model."""

from pathlib import Path
from typing import Any

import pytest

from alignloop.core.checkpoint_folder import CheckpointError
from alignloop.core.models import new_policy
from alignloop.core.reward_model import HELD_OUT, RewardModel
from alignloop.core.tokens import train_tokenizer
from alignloop.labeling.independent_judge import held_out_scores, independent_wins
from alignloop.params import load
from alignloop.params.evaluate import IndependentJudge
from tests.labeling.test_pairwise_judge import said

MINE, THEIRS = said("policy", ["no", "it is", "same"]), said("sft", ["yes, because", "it was", "same"])


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A round's reward model with one of held-out labelers beside it."""
    folder = tmp_path_factory.mktemp("reward")
    tokenizer = train_tokenizer(["Why? no, yes, because it is, it was the same."] * 3, 300)
    policy = new_policy(tokenizer, layers=1, width=16, heads=2, context=64, seed=0)
    RewardModel.from_policy(policy, seed=1).save(folder / HELD_OUT, tokenizer)
    return folder


def plan(**changes: Any) -> IndependentJudge:
    values = load(Path(__file__).parents[2] / "params.yaml").evaluate.judge.model_dump()
    return IndependentJudge.model_validate(values | {"by": "held_out"} | changes)


def test_the_win_rate_is_that_of_its_own_scores(reward: Path):
    mine, theirs = (held_out_scores(reward, each) for each in (MINE, THEIRS))
    assert mine[2] == theirs[2], "the same text"
    assert len(set(mine + theirs)) == 5, "other texts have other scores"
    points = [1.0 if one > other else 0.0 for one, other in zip(mine[:2], theirs[:2], strict=True)]
    found = independent_wins(1, plan(), reward, MINE, THEIRS)
    wins = found.wins["held_out_model"]
    assert wins["rate"] == pytest.approx((sum(points) + 0.5) / 3)
    assert wins["reward_model_rate"] == 1.0, "the round's reward model prefers the policy everywhere"
    assert (found.calls, found.pairs) == (0, [])
    turned = independent_wins(1, plan(), reward, THEIRS, MINE).wins["held_out_model"]
    assert turned["rate"] == pytest.approx(1 - wins["rate"])


def test_a_reward_model_without_one_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"held_out: evaluate\.judge\.by: held_out needs this reward"):
        independent_wins(1, plan(), tmp_path, MINE, THEIRS)
