"""The reward model: one score per response, training on all pairs of rankings, and normalisation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core import reward_training
from alignloop.core.batches import by_length
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.models import HEAD
from alignloop.core.numeric_checks import NonFiniteLoss
from alignloop.core.ranking_loss import ranking_loss
from alignloop.core.reward_metrics import correct_pairs
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import ranked_scores, score, score_rankings
from alignloop.core.reward_training import normalise, train
from alignloop.core.tokens import pad_left, pad_right


@pytest.fixture(scope="module")
def rows(prompts: list[list[int]], letters: list[int]) -> list[list[int]]:
    """Eight prompts with responses of one to three letters and the end token."""
    return [[*prompt, *letters[: 1 + n % 3], 1] for n, prompt in enumerate(prompts)]


def rankings(prompts: list[list[int]], letters: list[int], count: int) -> list[EncodedRanking]:
    """The more of the first letter a response has, the better; K is 2, 3 or 4, and some responses tie."""
    random = np.random.default_rng(count)
    ranked = []
    for n in range(count):
        responses = [[letters[i] for i in random.integers(0, 2, size=3)] for _ in range(2 + n % 3)]
        counts = [response.count(letters[0]) for response in responses]
        ranks = [1 + sum(other > mine for other in set(counts)) for mine in counts]
        ranked.append(
            EncodedRanking(
                [[*prompts[n % 8], *response, 1] for response in responses], ranks, shared=len(prompts[n % 8])
            )
        )
    return ranked


def plan(**changes: Any) -> dict[str, Any]:
    base = {"epochs": 1, "rankings_per_step": 4, "learning_rate": 3e-3, "warmup": 0.0, "weight_decay": 0.0}
    return {**base, "random": np.random.default_rng(0), **changes}


def weights(model: torch.nn.Module) -> bytes:
    return b"".join(weight.detach().numpy().tobytes() for weight in model.state_dict().values())


def test_a_new_head_depends_on_its_seed_and_the_policy_does_not_change(policy: PreTrainedModel):
    before = weights(policy)
    one, two, other = (RewardModel.from_policy(policy, seed) for seed in (1, 1, 2))
    assert weights(one) == weights(two)
    assert not torch.equal(one.head.weight, other.head.weight)
    assert float(one.head.bias.detach()) == float(one.normalisation) == 0
    with torch.no_grad():
        next(one.trunk.parameters()).zero_()
    assert weights(policy) == before, "the trunk is a copy"


def test_a_new_heads_weights_have_variance_one_over_width_plus_one(policy: PreTrainedModel):
    draws = torch.cat([RewardModel.from_policy(policy, seed).head.weight.detach() for seed in range(60)])
    assert draws.var().item() == pytest.approx(1 / 33, rel=0.1)


def test_the_score_is_read_at_the_last_token_whichever_side_the_padding_is_on(
    judge: RewardModel, rows: list[list[int]]
):
    left, right = judge(*pad_left(rows, 0)), judge(*pad_right(rows, 0))
    torch.testing.assert_close(left, right, atol=1e-5, rtol=0)
    for row, number in zip(rows, right, strict=True):
        ids = torch.tensor([row])
        everywhere = judge.per_token(ids, torch.ones_like(ids, dtype=torch.bool))
        assert everywhere.shape == (1, len(row))
        torch.testing.assert_close(everywhere[0, -1], number, atol=1e-5, rtol=0)


def test_scores_are_in_the_order_of_their_rows(judge: RewardModel, rows: list[list[int]]):
    alone = torch.cat([score(judge, [row], 0) for row in rows])
    torch.testing.assert_close(score(judge, rows[::-1], 0), alone.flip(0), atol=1e-5, rtol=0)
    assert len(set(alone.tolist())) == 8


def test_prompt_and_responses_are_computed_once_for_all_their_pairs(
    judge: RewardModel, prompts: list[list[int]], letters: list[int]
):
    passed: list[int] = []

    def count(_: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        if torch.is_grad_enabled():  # a pass that something is learned from
            passed.append(int((kwargs["input_ids"] != 0).sum()))

    judge.trunk.register_forward_pre_hook(count, with_kwargs=True)
    ranked = rankings(prompts, letters, 12)
    list(train(judge, ranked, 0, **plan()))
    different = [len({tuple(row) for row in ranking.rows}) for ranking in ranked]
    assert sum(different) < sum(len(ranking.rows) for ranking in ranked), (
        "equal responses are computed once as well"
    )
    assert sum(passed) == sum(len(prompts[n % 8]) + 4 * count for n, count in enumerate(different))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_scores_that_branch_from_one_prompt_are_those_of_single_rows(
    judge: RewardModel, prompts: list[list[int]], letters: list[int], attention: str
):
    judge.trunk.set_attn_implementation(attention)
    ranked = rankings(prompts, letters, 6)
    normalise(judge, ranked[0].rows, 0)
    for ranking, branched in zip(ranked, ranked_scores(judge, ranked, 0), strict=True):
        torch.testing.assert_close(branched, score(judge, ranking.rows, 0), atol=1e-5, rtol=0)


def test_a_steps_loss_is_the_mean_over_rankings_of_the_mean_over_pairs(
    judge: RewardModel, prompts: list[list[int]], letters: list[int]
):
    ranked = rankings(prompts, letters, 4)
    expected = torch.stack(
        [ranking_loss(score(judge, ranking.rows, 0), ranking.ranks) for ranking in ranked]
    ).mean()
    [(step, steps, numbers)] = train(judge, ranked, 0, **plan())
    assert (step, steps) == (1, 1)
    assert numbers["loss"] == pytest.approx(float(expected), abs=1e-5)


def test_no_split_into_passes_changes_a_rankings_gradient(
    judge: RewardModel, prompts: list[list[int]], letters: list[int], monkeypatch: pytest.MonkeyPatch
):
    def gradient() -> torch.Tensor:
        judge.zero_grad()
        ranked = rankings(prompts, letters, 4)
        losses = [
            ranking_loss(part, ranking.ranks)
            for part, ranking in zip(ranked_scores(judge, ranked, 0), ranked, strict=True)
        ]
        torch.stack(losses).mean().backward()
        return torch.cat([weight.grad.flatten() for weight in judge.parameters() if weight.grad is not None])

    whole = gradient()
    monkeypatch.setattr(reward_training, "by_length", lambda lengths: by_length(lengths, tokens=1))
    torch.testing.assert_close(gradient(), whole, atol=1e-6, rtol=1e-4)


def test_training_learns_the_preference_of_the_rankings(
    judge: RewardModel, prompts: list[list[int]], letters: list[int]
):
    steps = list(train(judge, rankings(prompts, letters, 96), 0, **plan(epochs=2)))
    unseen = rankings(prompts, letters, 31)
    right, pairs = correct_pairs(
        [score(judge, ranking.rows, 0) for ranking in unseen], [ranking.ranks for ranking in unseen]
    )
    assert pairs > 40
    assert right / pairs > 0.95
    assert steps[-1][2]["loss"] < 0.5 * steps[0][2]["loss"]


def test_the_same_seed_gives_the_same_bytes(
    policy: PreTrainedModel, prompts: list[list[int]], letters: list[int]
):
    def trained(seed: int) -> bytes:
        model = RewardModel.from_policy(policy, 1)
        list(train(model, rankings(prompts, letters, 8), 0, **plan(random=np.random.default_rng(seed))))
        return weights(model)

    assert trained(0) == trained(0)
    assert trained(0) != trained(1)


def test_a_family_with_dropout_is_trained_and_scored_without_it(
    gpt2: PreTrainedModel, prompts: list[list[int]], letters: list[int]
):
    one, two = RewardModel.from_policy(gpt2, 0).train(), RewardModel.from_policy(gpt2, 0).train()
    torch.manual_seed(0)
    first = [numbers for _, _, numbers in train(one, rankings(prompts, letters, 8), 0, **plan())]
    torch.manual_seed(1)
    assert first == [numbers for _, _, numbers in train(two, rankings(prompts, letters, 8), 0, **plan())]


def test_normalised_demonstrations_have_mean_zero_and_all_scores_shift_alike(
    judge: RewardModel, rows: list[list[int]]
):
    before = score(judge, rows, 0)
    shift, scale = normalise(judge, rows[:5], 0)
    assert scale == 1
    assert shift == pytest.approx(float(before[:5].mean()), abs=1e-6)
    assert abs(float(score(judge, rows[:5], 0).mean())) < 1e-6
    torch.testing.assert_close(score(judge, rows, 0), before - shift, atol=1e-6, rtol=0)
    assert normalise(judge, rows[:5], 0)[0] == pytest.approx(0, abs=1e-6), "a second time changes nothing"
    ids = torch.tensor([rows[0]])
    last = judge.per_token(ids, torch.ones_like(ids, dtype=torch.bool))[0, -1]
    assert float(last.detach()) == pytest.approx(float(before[0]) - shift, abs=1e-5), (
        "the value model is normalised too"
    )


def test_with_a_gain_demonstrations_have_unit_variance_after_loading_too(
    judge: RewardModel, rows: list[list[int]], tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    before = score(judge, rows, 0)
    shift, scale = normalise(judge, rows[:5], 0, gain=True)
    assert scale == pytest.approx(float(before[:5].std(correction=0)), rel=1e-5)
    torch.testing.assert_close(score(judge, rows, 0), (before - shift) / scale, atol=1e-5, rtol=0)
    judge.save(tmp_path / "reward", tokenizer)
    loaded = score(RewardModel.load(tmp_path / "reward"), rows[:5], 0)
    assert float(loaded.mean()) == pytest.approx(0, abs=1e-5)
    assert float(loaded.std(correction=0)) == pytest.approx(1, abs=1e-5)
    with pytest.raises(NonFiniteLoss, match="spread of scores"):
        normalise(judge, [rows[0], rows[0]], 0, gain=True)


def test_ties_are_learned_from_only_where_configured(
    judge: RewardModel, prompts: list[list[int]], letters: list[int]
):
    tied = [
        EncodedRanking(row.rows, [1] * len(row.rows), row.shared) for row in rankings(prompts, letters, 4)
    ]
    before = weights(judge)
    list(train(judge, tied, 0, **plan()))
    assert weights(judge) == before
    spread = [float(score(judge, row.rows, 0).std()) for row in tied]
    list(train(judge, tied, 0, **plan(epochs=8, ties="rao_kupper", margin=0.5)))
    assert sum(float(score(judge, row.rows, 0).std()) for row in tied) < 0.5 * sum(spread)


def test_a_saved_reward_model_gives_the_same_normalised_scores(
    judge: RewardModel, rows: list[list[int]], tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    with torch.no_grad():
        judge.head.bias.fill_(0.7)
    normalise(judge, rows[:3], 0)
    judge.save(tmp_path / "reward", tokenizer)
    loaded = RewardModel.load(tmp_path / "reward")
    assert torch.equal(score(loaded, rows, 0), score(judge, rows, 0))
    assert float(load_file(tmp_path / "reward" / HEAD)["normalisation"]) == float(judge.normalisation) != 0
    loaded.save(tmp_path / "again", tokenizer)
    for file in (HEAD, "model.safetensors"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "reward" / file).read_bytes()


def test_correctly_ordered_pairs_by_hand():
    scores = [torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0.0, 0.0]), torch.tensor([5.0, 1.0])]
    assert correct_pairs(scores, [[1, 2, 3], [2, 1], [1, 1]]) == (2.5, 4)
    assert correct_pairs([], []) == (0, 0)


def test_a_non_finite_score_stops_training_and_names_the_rankings(
    judge: RewardModel, prompts: list[list[int]], letters: list[int]
):
    with torch.no_grad():
        judge.head.weight[0, 0] = torch.nan
    named = [
        replace(ranking, name=f"k{number}") for number, ranking in enumerate(rankings(prompts, letters, 4))
    ]
    with pytest.raises(NonFiniteLoss, match="step 1: the ranking loss is nan") as raised:
        list(train(judge, named, 0, **plan()))
    assert sorted(raised.value.names) == ["k0", "k1", "k2", "k3"]


def test_rankings_scored_together_have_the_scores_of_each_alone(
    judge: RewardModel, prompts: list[list[int]], letters: list[int]
):
    ranked = rankings(prompts, letters, 9)
    together = score_rankings(judge, ranked, 0)
    assert [len(scores) for scores in together] == [len(ranking.rows) for ranking in ranked]
    for scores, ranking in zip(together, ranked, strict=True):
        torch.testing.assert_close(scores, score(judge, ranking.rows, 0), atol=1e-5, rtol=0)
    assert score_rankings(judge, [], 0) == []
