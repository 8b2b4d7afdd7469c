"""Experience of a PPO step: groups of responses, advantages per token, and exact splits into passes."""

import math
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignloop.core import experience, lm_training, ppo_update
from alignloop.core.advantages import grpo, rloo
from alignloop.core.batches import by_length
from alignloop.core.experience import Rollouts, compute_experience
from alignloop.core.generate import Responses
from alignloop.core.metrics import distinct
from alignloop.core.numeric_checks import NonFiniteLoss
from alignloop.core.ppo import Trainer
from alignloop.core.tokens import Encoded
from tests.core.bandit import CONFIG, Run

GROUPS: dict[str, Any] = {"advantages": "rloo", "responses_per_prompt": 4, "prompts_per_step": 8}


def of_groups(run: Run, advantages: Literal["rloo", "grpo"]) -> tuple[Rollouts, experience.Experience]:
    """Two responses to each of three prompts, with scores 1, 0 and 0, 1 and 1, 0, and a KL coefficient of
    0.
    """
    a, b = run.letters[:2]
    ids = [[a, b, 1], [b, 1], [b, b, b, 1], [a, 1], [a, 1], [b]]
    responses = Responses(ids, [torch.full((len(row),), -1.0) for row in ids], [row[-1] == 1 for row in ids])
    config = replace(CONFIG, advantages=advantages, responses_per_prompt=2, missing_eos_score=None)
    prompts = [run.prompts[place] for place in (0, 0, 1, 1, 2, 2)]
    return compute_experience(
        run.reference, None, run.score, prompts, responses, kl_coef=0.0, rules=run.rules, config=config
    )


def test_every_token_of_a_response_has_the_advantage_of_its_group(run: Run):
    rollouts, learned = of_groups(run, "rloo")
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
    rollouts, learned = of_groups(run, "grpo")
    assert torch.equal(learned.advantages[:, 0], grpo(rollouts.rewards, 2))
    assert not learned.values.any()
    assert not learned.returns.any()


def test_gae_advantages_have_mean_zero_and_variance_one_over_response_tokens(run: Run):
    ids = [[run.letters[0], 1], [run.letters[1]] * 5, [run.letters[2], run.letters[0], 1]]
    responses = Responses(ids, [torch.full((len(row),), -1.0) for row in ids], [row[-1] == 1 for row in ids])
    for whiten_rewards in (False, True):
        _, learned = compute_experience(
            run.reference,
            run.value,
            run.score,
            run.prompts[:3],
            responses,
            kl_coef=0.1,
            rules=run.rules,
            config=replace(CONFIG, whiten_rewards=whiten_rewards),
        )
        chosen = learned.advantages[learned.mask]
        assert abs(float(chosen.mean())) < 1e-6
        assert float(chosen.var(correction=0)) == pytest.approx(1, abs=1e-4)
        assert not learned.advantages[~learned.mask].any()


def test_responses_to_one_prompt_are_adjacent_and_differ(run: Run):
    [step] = run.steps(**GROUPS, max_new_tokens=12)
    prompts = step.rollouts.prompts
    assert all(prompts[first : first + 4] == [prompts[first]] * 4 for first in range(0, 32, 4))
    assert len({tuple(prompts[first]) for first in range(0, 32, 4)}) == 8, "every prompt is drawn once"
    groups = [step.rollouts.responses[first : first + 4] for first in range(0, 32, 4)]
    assert all(len(set(map(tuple, group))) > 1 for group in groups), (
        "responses are sampled, not the likeliest ones"
    )


@pytest.mark.parametrize("advantages", ["rloo", "grpo"])
def test_group_advantages_raise_the_score_without_a_value_model(run: Run, advantages: str):
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


def test_a_value_model_must_be_given_where_advantages_need_one_and_nowhere_else(run: Run):
    for value, config, message in (
        (run.value, replace(CONFIG, **GROUPS), "rloo take no value"),
        (None, CONFIG, "gae need value"),
    ):
        with pytest.raises(ValueError, match=message):
            Trainer(
                run.policy,
                run.reference,
                value,
                score=run.score,
                prompts=run.prompts,
                ptx=(),
                controller=run.controller,
                rules=run.rules,
                config=config,
                random=np.random.default_rng(0),
                generator=torch.Generator(),
            )


def test_a_whole_training_is_the_same_however_its_batches_are_split_into_passes(
    run: Run, other: Run, monkeypatch: pytest.MonkeyPatch
):
    """Gradient accumulation is exact: steps of many small passes and steps of one pass give the same
    weights.
    """
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

    for module in (experience, lm_training, ppo_update):
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


def test_no_more_logits_are_computed_at_a_time_than_a_pass_has_tokens(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    for module in (experience, ppo_update):
        monkeypatch.setattr(module, "by_length", partial(by_length, tokens=100))
    sizes: list[int] = []
    seen = lambda _, inputs: sizes.append(inputs[0].reshape(-1, inputs[0].shape[-1]).shape[0])  # noqa: E731
    for model in (run.policy, run.reference):
        head = model.get_output_embeddings()
        assert isinstance(head, nn.Module)
        head.register_forward_pre_hook(seen)
    [step] = run.steps(prompts_per_step=64, minibatches=1, max_new_tokens=12, batch=16)
    assert sum(map(len, step.rollouts.responses)) > 200, "all responses together have more tokens than a pass"
    assert max(sizes) <= 100


def test_kl_and_entropy_are_reported_per_response_and_per_token(run: Run):
    rollouts, learned = of_groups(run, "rloo")
    numbers = experience.rollout_metrics(rollouts, learned, 0.5)
    assert numbers["entropy"] == 1, "every token has a log-probability of -1"
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
def test_a_non_finite_number_is_attributed_to_its_model_and_names_the_prompts(run: Run, model: str):
    if model == "score":
        run.score = lambda prompts, responses: torch.tensor(
            [math.nan if place in (1, 3) else 0.0 for place in range(len(responses))]
        )
        message = (
            r"step 1: the scores of responses \[1, 3\] are not finite, in .*: all weights .*: "
            "look at the reward model or score function"
        )
    else:
        assert isinstance(run.reference, PreTrainedModel)
        with torch.no_grad():
            next(run.reference.parameters()).fill_(math.nan)
        message = (
            r"step 1: the reference's log-probabilities of responses \[0, 1, 2, .*\] are not finite, in .*: "
            "all .*: restore the ref"
        )
    trainer = run.trainer(
        replace(CONFIG, prompts_per_step=4), np.random.default_rng(0), torch.Generator().manual_seed(0)
    )
    trainer.names = [f"p{place}" for place in range(len(run.prompts))]
    order = np.random.default_rng(0).permutation(len(run.prompts)).tolist()
    with pytest.raises(NonFiniteLoss, match=message) as raised:
        list(trainer)
    assert list(raised.value.names) == [
        f"p{order[place]}" for place in ((1, 3) if model == "score" else range(4))
    ]
