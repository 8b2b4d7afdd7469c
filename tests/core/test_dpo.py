"""Training on rankings: what is compared with what, the first steps by hand, and what is learned."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core import pass_limits
from alignloop.core.dpo import check_rankings, compare, drawn_rollouts, measure, train, unrelated
from alignloop.core.dpo_config import DpoConfig, NothingToLearn
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.generate import sample
from alignloop.core.logprobs import response_logprobs
from alignloop.core.ranked_logprobs import Reading, measured_logprobs, ranked_logprobs
from alignloop.core.tokens import Encoded, TokenRules

CONFIG = DpoConfig(
    loss="dpo",
    beta=0.5,
    label_smoothing=0.0,
    length_normalised=False,
    ties="skip",
    margin=0.0,
    desirable_weight=1.0,
    undesirable_weight=1.0,
    ptx_coef=0.0,
    ptx_documents_per_step=4,
)
SCHEDULE: Any = {"epochs": 6, "learning_rate": 1e-3, "warmup": 0.0, "weight_decay": 0.0}
# three prompts of two and three tokens; the second response repeats the first in every third ranking
RANKINGS = [
    EncodedRanking(
        [[7, 8 + n % 3, *range(20, 22 + place * (n % 3 > 0)), 30 + place, 1] for place in range(3)],
        [1, 2, 3] if n % 3 else [1, 1, 2],
        shared=2,
        name=f"k{n}",
    )
    for n in range(6)
]


@pytest.fixture
def reading(rules: TokenRules) -> Reading:
    return Reading(rules, 1.0, packed=True)


def trained(policy: PreTrainedModel, reading: Reading, **changes: Any) -> list[dict[str, float]]:
    config = replace(CONFIG, **changes)
    compared = compare(copy.deepcopy(policy), RANKINGS, reading, config, 64)
    training = train(
        policy, compared, reading, config, rankings_per_step=3, random=np.random.default_rng(0), **SCHEDULE
    )
    return [numbers for _, _, numbers in training]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_branched_and_separate_rows_have_the_log_probabilities_of_each_response(
    policy: PreTrainedModel, rules: TokenRules, temperature: float
):
    expected = [
        response_logprobs(
            policy,
            [row[: each.shared] for row in each.rows],
            [row[each.shared :] for row in each.rows],
            rules,
            temperature,
        )
        for each in RANKINGS
    ]
    for packed in (True, False):
        reading = Reading(rules, temperature, packed)
        for found in (
            ranked_logprobs(policy, RANKINGS, reading),
            measured_logprobs(policy, RANKINGS, reading, "x"),
        ):
            for mine, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(mine.detach(), theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("loss", "first"),
    # −log ½ a pair; (1/2β)² = 1; 1 − σ(0); and of −log 1/6 and, with a tie, −log 1/3 as many as step 1 has
    [("dpo", [0.693147]), ("ipo", [1.0]), ("kto", [0.5]), ("ranking", [1.098612, 1.791759])],
)
def test_the_first_loss_is_that_of_equal_log_ratios_and_training_lowers_it(
    learner: PreTrainedModel, reading: Reading, loss: str, first: list[float]
):
    steps = trained(learner, reading, loss=loss)
    low, high = min(first), max(first)
    assert low - 1e-3 <= steps[0]["loss"] <= high + 1e-3
    assert steps[0]["margin"] == pytest.approx(0, abs=1e-3)
    assert steps[-1]["loss"] < 0.8 * steps[0]["loss"]
    assert steps[-1]["accuracy"] > 0.8
    assert steps[-1]["margin"] == pytest.approx(
        0.5 * (steps[-1]["better_log_ratio"] - steps[-1]["worse_log_ratio"])
    )


def test_no_split_into_passes_changes_the_gradient(policy: PreTrainedModel, reading: Reading):
    def weights(tokens: int) -> Tensor:
        before = pass_limits.current()
        pass_limits.use(pass_limits.PassLimits(tokens, None))
        try:
            learner = copy.deepcopy(policy)
            trained(learner, reading, loss="kto")
        finally:
            pass_limits.use(before)
        return torch.cat([weight.detach().flatten() for weight in learner.parameters()])

    torch.testing.assert_close(weights(8), weights(4096), rtol=0, atol=2e-4)


def test_the_gradient_is_that_of_the_formula_on_whole_rows(learner: PreTrainedModel, reading: Reading):
    reference = copy.deepcopy(learner)
    with torch.no_grad():
        for weight in learner.parameters():
            weight.mul_(1.01)
    theirs = copy.deepcopy(learner)
    config = replace(CONFIG, length_normalised=True)
    compared = compare(reference, RANKINGS[1:2], reading, config, 64)
    training = train(
        learner,
        compared,
        reading,
        config,
        rankings_per_step=1,
        random=np.random.default_rng(0),
        **(SCHEDULE | {"learning_rate": 1e-12}),
    )
    gradients: list[Tensor] = []
    handle = training._optimiser.register_step_pre_hook(  # pyright: ignore[reportPrivateUsage]
        lambda *_: gradients.append(
            torch.cat([p.grad.flatten() for p in learner.parameters() if p.grad is not None])
        )
    )
    next(iter(training))
    handle.remove()

    def ratio(row: list[int]) -> Tensor:
        ids = torch.tensor([row])
        sums = []
        for model in (theirs, reference):
            logits = model(input_ids=ids).logits[0].masked_fill(~reading.rules.allowed, -torch.inf)
            sums.append(torch.log_softmax(logits, -1)[range(1, len(row) - 1), row[2:]].sum())
        return (sums[0] - sums[1].detach()) / (len(row) - 2)

    a, b, c = (ratio(row) for row in RANKINGS[1].rows)
    loss = -torch.stack([torch.log(torch.sigmoid(0.5 * gap)) for gap in (a - b, a - c, b - c)]).mean()
    loss.backward()
    whole = torch.cat([p.grad.flatten() for p in theirs.parameters() if p.grad is not None])
    whole *= min(1.0, 1.0 / float(whole.norm()))  # as clipped
    torch.testing.assert_close(gradients[0], whole, rtol=1e-3, atol=1e-5)


def test_kto_compares_each_prompt_with_the_next_ones_response():
    row = unrelated(RANKINGS, 0, 64)
    assert row
    assert (row.rows, row.shared) == ([[7, 8, *RANKINGS[1].rows[0][2:]]], 2)
    assert unrelated(RANKINGS, 0, 4) is None, "no other response fits"
    assert unrelated([RANKINGS[0], RANKINGS[3]], 0, 64) is None, "both are to the same prompt"


def test_rankings_that_tell_nothing_are_one_error():
    ties = [EncodedRanking(each.rows, [1, 1, 1], 2, each.name) for each in RANKINGS]
    with pytest.raises(NothingToLearn, match=r"^data/r: all 6 rankings to learn from are ties"):
        check_rankings(ties, CONFIG, "data/r")
    check_rankings([*ties, RANKINGS[0]], CONFIG, "data/r")
    wide = EncodedRanking([[7, 8, 20 + n, 1] for n in range(15)], [1] * 13 + [2, 2], 2, "k9")
    check_rankings([wide], CONFIG, "data/r")
    with pytest.raises(NothingToLearn, match=r"^data/r: more than 12 responses are tied above others in k9"):
        check_rankings([wide], replace(CONFIG, loss="ranking"), "data/r")


def test_pretraining_text_is_learned_beside(
    policy: PreTrainedModel, learner: PreTrainedModel, reading: Reading
):
    config = replace(CONFIG, ptx_coef=1.0)
    compared = compare(policy, RANKINGS, reading, config, 64)
    text = [Encoded([9, 30, 40, 1], [True] * 4), Encoded([9, 50, 1], [True] * 3)]
    training = train(
        learner,
        compared,
        reading,
        config,
        rankings_per_step=3,
        ptx=text,
        random=np.random.default_rng(0),
        **SCHEDULE,
    )
    losses = [numbers["ptx_loss"] for _, _, numbers in training]
    assert losses[-1] < 0.8 * losses[0]


def test_validation_measures_rankings_and_drawn_responses(
    policy: PreTrainedModel, learner: PreTrainedModel, reading: Reading, prompts: list[list[int]]
):
    compared = compare(policy, RANKINGS, reading, CONFIG, 64)
    assert measure(policy, compared, reading, CONFIG)["loss"] == pytest.approx(0.693147, abs=1e-3)
    trained(learner, reading)
    assert measure(learner, compared, reading, CONFIG)["accuracy"] == 1.0
    drawn = sample(
        learner,
        prompts,
        reading.rules,
        temperature=1.0,
        max_new_tokens=6,
        generator=torch.Generator().manual_seed(0),
        batch=8,
    )
    found, numbers = drawn_rollouts(
        policy,
        lambda asked, said: torch.tensor([float(len(ids)) for ids in said]),
        prompts,
        drawn,
        reading=reading,
        beta=0.5,
    )
    mine, theirs = (
        response_logprobs(model, prompts, drawn.ids, reading.rules, 1.0) for model in (learner, policy)
    )
    torch.testing.assert_close(found.kl, mine - theirs, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.rewards, found.scores - 0.5 * found.kl)
    assert numbers["score"] == numbers["length"]
    assert numbers["reward"] == pytest.approx(numbers["score"] - 0.5 * numbers["kl"], rel=1e-5)
