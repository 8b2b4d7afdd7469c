"""What PPO learns from: groups of responses, advantages on every token of them, and no more logits at a time than a pass holds."""

import math
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignloop.core import experience, lm_training, ppo
from alignloop.core.advantages import grpo, rloo
from alignloop.core.batches import by_length
from alignloop.core.experience import Rollouts, appraise
from alignloop.core.generate import Responses
from alignloop.core.losses import NonFiniteLoss
from alignloop.core.metrics import distinct
from alignloop.core.ppo_config import Settings
from alignloop.core.tokens import Encoded
from tests.core.bandit import SETTINGS, Run

GROUPS: dict[str, Any] = {"advantages": "rloo", "responses_per_prompt": 4, "prompts_per_step": 8}


def appraised(run: Run, advantages: Literal["rloo", "grpo"]) -> tuple[Rollouts, experience.Experience]:
    """Four answers to one prompt and two to another, worth 1, 0, 0, 1 and 1, 0, without a KL."""
    a, b = run.letters[:2]
    ids = [[a, b, 1], [b, 1], [b, b, b, 1], [a, 1], [a, 1], [b]]
    responses = Responses(ids, [torch.full((len(row),), -1.0) for row in ids], [row[-1] == 1 for row in ids])
    settings = Settings(
        **{
            **SETTINGS.__dict__,
            "advantages": advantages,
            "responses_per_prompt": 2,
            "missing_eos_score": None,
        }
    )
    prompts = [run.prompts[place] for place in (0, 0, 1, 1, 2, 2)]
    return appraise(run.reference, None, run.score, prompts, responses, 0.0, run.allowed, 0, settings)


def test_every_token_of_a_response_has_the_advantage_of_its_group(run: Run):
    rollouts, learned = appraised(run, "rloo")
    assert rollouts.scores.tolist() == [1, 0, 0, 1, 1, 0]
    assert learned.advantages.tolist() == [
        [1, 1, 1, 0],
        [-1, -1, 0, 0],
        [-1, -1, -1, -1],
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [-1, 0, 0, 0],
    ]
    assert torch.equal(learned.advantages[:, 0], rloo(rollouts.rewards, 2))
    rollouts, learned = appraised(run, "grpo")
    assert torch.equal(learned.advantages[:, 0], grpo(rollouts.rewards, 2))
    assert not learned.values.any()
    assert not learned.returns.any()


def test_advantages_of_the_value_model_have_mean_zero_and_variance_one_over_the_answers_tokens(run: Run):
    ids = [[run.letters[0], 1], [run.letters[1]] * 5, [run.letters[2], run.letters[0], 1]]
    responses = Responses(ids, [torch.full((len(row),), -1.0) for row in ids], [row[-1] == 1 for row in ids])
    for whiten_rewards in (False, True):
        settings = Settings(**{**SETTINGS.__dict__, "whiten_rewards": whiten_rewards})
        _, learned = appraise(
            run.reference, run.value, run.score, run.prompts[:3], responses, 0.1, run.allowed, 0, settings
        )
        chosen = learned.advantages[learned.mask]
        assert abs(float(chosen.mean())) < 1e-6
        assert float(chosen.var(correction=0)) == pytest.approx(1, abs=1e-4)
        assert not learned.advantages[~learned.mask].any()


def test_responses_to_one_prompt_stand_side_by_side_and_differ(run: Run):
    [step] = run.steps(**GROUPS, max_new_tokens=12)
    prompts = step.rollouts.prompts
    assert all(prompts[first : first + 4] == [prompts[first]] * 4 for first in range(0, 32, 4))
    assert len({tuple(prompts[first]) for first in range(0, 32, 4)}) == 8, "every prompt is met once"
    groups = [step.rollouts.responses[first : first + 4] for first in range(0, 32, 4)]
    assert all(len(set(map(tuple, group))) > 1 for group in groups), "answers are drawn, not looked up"


@pytest.mark.parametrize("advantages", ["rloo", "grpo"])
def test_groups_teach_what_is_scored_without_a_value_model(run: Run, advantages: str):
    plan: dict[str, Any] = {
        **GROUPS,
        "advantages": advantages,
        "steps": 8,
        "epochs": 2,
        "learning_rate": 3e-3,
        "max_new_tokens": 3,
    }
    value = [weight.detach().clone() for weight in run.value.parameters()]
    steps = run.steps(**plan, missing_eos_score=None)
    assert np.mean([step.metrics["score"] for step in steps[:2]]) < 0.3
    assert np.mean([step.metrics["score"] for step in steps[-2:]]) > 0.8
    assert not [name for name in steps[0].metrics if "value" in name or "variance" in name]
    assert all(torch.equal(mine, was) for mine, was in zip(run.value.parameters(), value, strict=True))


def test_a_value_model_is_there_where_it_is_needed_and_nowhere_else(run: Run):
    settings, random = Settings(**{**SETTINGS.__dict__, **GROUPS}), np.random.default_rng(0)
    rest = run.score, run.prompts, (), run.controller, run.allowed, 1, 0
    for value, chosen, message in (
        (run.value, settings, "rloo take no value"),
        (None, SETTINGS, "gae need value"),
    ):
        with pytest.raises(ValueError, match=message):
            ppo.Trainer(run.policy, run.reference, value, *rest, chosen, random, torch.Generator())


def test_a_whole_training_is_the_same_however_its_batches_are_split_into_passes(
    run: Run, other: Run, monkeypatch: pytest.MonkeyPatch
):
    """Gradient accumulation is exact: steps of many small passes and steps of one end at the same weights."""
    run.ptx = other.ptx = [Encoded([9, 30, 40, 1], [True] * 4), Encoded([9, 50, 1], [True] * 3)]
    plan: dict[str, Any] = {
        "steps": 3,
        "epochs": 2,
        "ptx_coef": 1.0,
        "ptx_documents_per_step": 16,
        "learning_rate": 1e-4,
    }
    whole = run.steps(**plan)
    passes: list[int] = []

    def small(lengths: list[int]) -> list[list[int]]:
        batches = by_length(lengths, tokens=40)
        passes.append(len(batches))
        return batches

    for module in (experience, lm_training, ppo):
        monkeypatch.setattr(module, "by_length", small)
    parts = other.steps(**plan)
    assert max(passes) > 8
    assert [step.rollouts.responses for step in parts] == [step.rollouts.responses for step in whole]
    torch.testing.assert_close(other.weights(), run.weights(), atol=1e-6, rtol=0)
    for mine, theirs in zip(run.value.parameters(), other.value.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=0)
    for mine, theirs in zip(whole, parts, strict=True):
        assert all(
            mine.metrics[name] == pytest.approx(theirs.metrics[name], abs=1e-5)
            for name in ("policy_loss", "value_loss", "kl")
        )


def test_no_more_logits_are_made_at_a_time_than_a_pass_holds(run: Run, monkeypatch: pytest.MonkeyPatch):
    for module in (experience, ppo):
        monkeypatch.setattr(module, "by_length", partial(by_length, tokens=100))
    made: list[int] = []
    seen = lambda _, inputs: made.append(inputs[0].reshape(-1, inputs[0].shape[-1]).shape[0])  # noqa: E731
    for model in (run.policy, run.reference):
        head = model.get_output_embeddings()
        assert isinstance(head, nn.Module)
        head.register_forward_pre_hook(seen)
    [step] = run.steps(prompts_per_step=64, minibatches=1, max_new_tokens=12, batch=16)
    assert sum(map(len, step.rollouts.responses)) > 200, "all at once would be more"
    assert max(made) <= 100


def test_kl_and_entropy_are_reported_per_response_and_per_token(run: Run):
    rollouts, learned = appraised(run, "rloo")
    numbers = experience.numbers_of(rollouts, learned, 0.5)
    assert numbers["entropy"] == 1, "every token was drawn at a log-probability of -1"
    assert numbers["length"] == pytest.approx(14 / 6)
    assert numbers["ended"] == pytest.approx(5 / 6)
    assert numbers["score_spread"] == 0.5
    assert numbers["kl_coef"] == 0.5
    assert numbers["distinct_responses"] == pytest.approx(5 / 6)
    assert numbers["distinct_2"] == distinct(rollouts.responses, 2) != distinct(rollouts.responses, 3)
    kl: Tensor = (learned.logprobs * learned.mask).sum(1)
    assert numbers["kl"] == pytest.approx(float(rollouts.kl.mean()))
    assert float(rollouts.kl.mean()) > float(kl.mean())


@pytest.mark.parametrize("model", ["reference", "score"])
def test_what_is_no_number_is_laid_to_the_model_that_said_it_and_names_its_answers(run: Run, model: str):
    if model == "score":
        run.score = lambda prompts, responses: torch.tensor(
            [math.nan if place in (1, 3) else 0.0 for place in range(len(responses))]
        )
        found = r"step 1: the scores of answers \[1, 3\] are not finite, in .*: all weights .*: look at the reward model or score function"
    else:
        assert isinstance(run.reference, PreTrainedModel)
        with torch.no_grad():
            next(run.reference.parameters()).fill_(math.nan)
        found = r"step 1: the reference's log-probabilities of answers \[0, 1, 2, .*\] are not finite, in .*: all .*: restore the ref"
    trainer = run.train(
        replace(SETTINGS, prompts_per_step=4), np.random.default_rng(0), torch.Generator().manual_seed(0)
    )
    trainer.names = [f"p{place}" for place in range(len(run.prompts))]
    order = np.random.default_rng(0).permutation(len(run.prompts)).tolist()
    with pytest.raises(NonFiniteLoss, match=found) as raised:
        list(trainer)
    assert list(raised.value.names) == [
        f"p{order[place]}" for place in ((1, 3) if model == "score" else range(4))
    ]
