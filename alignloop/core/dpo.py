"""Training of a policy on rankings without a reward model: DPO, IPO, KTO and K-way DPO.

Policy and reference use one distribution, `log_distribution` at the sampling temperature, as PPO does. The
reference's log-probabilities are computed once, before the first step. The K responses to a prompt branch
from it in one packed row where the family allows that. One ranking is one batch element, as in the training
of reward models; with KTO a binary label is one too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.batches import by_length
from alignloop.core.dpo_config import MOST_TIED, DpoConfig, NothingToLearn
from alignloop.core.dpo_losses import dpo_loss, ipo_loss, kto_baseline, kto_loss, plackett_luce_loss
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.experience import Rollouts, Score
from alignloop.core.generate import Responses
from alignloop.core.lm_training import accumulate_gradients
from alignloop.core.logprobs import response_logprobs
from alignloop.core.lora import adapters_off
from alignloop.core.metrics import distinct
from alignloop.core.numeric_checks import finite, naming
from alignloop.core.parallel_passes import backward
from alignloop.core.ranked_logprobs import Reading, measured_logprobs, ranked_logprobs
from alignloop.core.ranking_pairs import pairs_of
from alignloop.core.reward_metrics import correct_pairs
from alignloop.core.tokens import Encoded
from alignloop.core.training_loop import Schedule, Training

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True)
class Comparison:
    """A ranking with the reference's log-probabilities (K,) of its responses, in nats.

    For KTO, `other` is its prompt with the response to another prompt, with the same of that one.
    """

    ranking: EncodedRanking
    reference: Tensor
    other: "Comparison | None" = None

    @property
    def lengths(self) -> Tensor:
        """The tokens (K,) of the responses, with their end tokens."""
        return torch.tensor([float(len(row) - self.ranking.shared) for row in self.ranking.rows])


def compare(
    reference: "PreTrainedModel | PeftModel",
    rankings: Sequence[EncodedRanking],
    reading: Reading,
    config: DpoConfig,
    context: int,
) -> list[Comparison]:
    """The rankings with the reference's log-probabilities, from passes without gradients."""
    others: list[EncodedRanking | None] = [None] * len(rankings)
    if config.loss == "kto":
        others = [unrelated(rankings, place, context) for place in range(len(rankings))]
    given = [*rankings, *(each for each in others if each)]
    with adapters_off(reference) as model:
        found = iter(measured_logprobs(model, given, reading, "reference"))
    own = [next(found) for _ in rankings]
    pairs = [Comparison(each, next(found)) if each else None for each in others]
    return [Comparison(*each) for each in zip(rankings, own, pairs, strict=True)]


def unrelated(rankings: Sequence[EncodedRanking], place: int, context: int) -> EncodedRanking | None:
    """A ranking's prompt with the first response of the next ranking of another prompt that fits.

    None if there is none.
    """
    prompt = rankings[place].rows[0][: rankings[place].shared]
    for step in range(1, len(rankings)):
        other = rankings[(place + step) % len(rankings)]
        row = prompt + other.rows[0][other.shared :]
        if other.rows[0][: other.shared] != prompt and len(row) <= context:
            return EncodedRanking([row], [1], len(prompt), rankings[place].name)
    return None


def check_rankings(rankings: Sequence[EncodedRanking], config: DpoConfig, place: str) -> None:
    """Raise NothingToLearn unless some responses differ in rank, in rankings that the loss can take."""
    if not any(len(set(each.ranks)) > 1 or each.good is not None for each in rankings):
        raise NothingToLearn(
            f"{place}: all {len(rankings)} rankings to learn from are ties, without one ordered pair: "
            "nothing tells responses apart; raise decoding.temperature, or lower label.tie"
        )
    many = [each.name for each in rankings if _most_tied(each.ranks) > MOST_TIED]
    if config.loss == "ranking" and many:
        raise NothingToLearn(
            f"{place}: more than {MOST_TIED} responses are tied above others in {', '.join(many[:8])}: "
            "the sum over their orders is too long; set dpo.loss: dpo, or leave these rankings out"
        )


def _most_tied(ranks: Sequence[int]) -> int:
    """The largest number of responses of one rank that others are ranked below."""
    return max((ranks.count(rank) for rank in set(ranks) if rank < max(ranks)), default=0)


def log_ratios(logprobs: Tensor, comparison: Comparison, config: DpoConfig) -> Tensor:
    """Log-ratios (K,) of policy to reference in nats, a token if `length_normalised`."""
    ratios = logprobs - comparison.reference
    return ratios / comparison.lengths if config.length_normalised else ratios


def preference_loss(ratios: Tensor, ranking: EncodedRanking, config: DpoConfig, baseline: float) -> Tensor:
    """The loss of one ranking by the log-ratios (K,) of its responses."""
    ranks = ranking.ranks
    if config.loss == "dpo":
        return dpo_loss(
            ratios, ranks, config.beta, config.label_smoothing, margin=config.margin, ties=config.ties
        )
    if config.loss == "ipo":
        return ipo_loss(ratios, ranks, config.beta, config.label_smoothing)
    if config.loss == "ranking":
        return plackett_luce_loss(ratios, ranks, config.beta, config.label_smoothing)
    return kto_loss(
        ratios,
        ranks,
        config.beta,
        baseline,
        desirable_weight=config.desirable_weight,
        undesirable_weight=config.undesirable_weight,
        good=ranking.good,
    )


def baseline_of(
    policy: PreTrainedModel, part: Sequence[Comparison], reading: Reading, config: DpoConfig
) -> float:
    """KTO's z₀ of these rankings, by the policy as it is now; 0 for other losses."""
    others = [each.other for each in part if each.other]
    if not others:
        return 0.0
    given = [each.ranking for each in others]
    logprobs = measured_logprobs(policy, given, reading, "KL of unrelated pairs")
    ratios = [log_ratios(*each, config) for each in zip(logprobs, others, strict=True)]
    return kto_baseline(torch.cat(ratios))


def train(
    policy: PreTrainedModel,
    comparisons: Sequence[Comparison],
    reading: Reading,
    config: DpoConfig,
    *,
    rankings_per_step: int,
    ptx: Sequence[Encoded] = (),
    **schedule: Unpack[Schedule],
) -> Training:
    """A training of the policy, in place; the loss is the mean over rankings of `preference_loss`.

    With `ptx`, the gradient of `ptx_coef` times a language-model loss on that text is added (PPO-ptx).
    """
    random, weights = schedule["random"], [*policy.parameters()]

    def learn(chosen: list[int]) -> dict[str, float]:
        part = [comparisons[index] for index in chosen]
        baseline = baseline_of(policy, part, reading, config)

        def loss(batch: list[int]) -> tuple[Tensor, dict[str, float]]:
            picked = [part[place] for place in batch]
            logprobs = ranked_logprobs(policy, [each.ranking for each in picked], reading)
            ratios = [log_ratios(*each, config) for each in zip(logprobs, picked, strict=True)]
            losses = [
                preference_loss(mine, each.ranking, config, baseline)
                for mine, each in zip(ratios, picked, strict=True)
            ]
            mean = finite(torch.stack(losses).sum() / len(part), "the preference loss", batch)
            return mean, {"loss": float(mean.detach()), **_sums([each.detach() for each in ratios], picked)}

        passes = by_length([reading.tokens(each.ranking) for each in part])
        metrics = _means(backward(loss, passes, weights), len(part), config)
        if config.loss == "kto":
            metrics["unrelated_kl"] = baseline
        if ptx and config.ptx_coef:
            count = config.ptx_documents_per_step
            documents = [ptx[index] for index in random.integers(0, len(ptx), max(count, 1))]
            with naming([document.name for document in documents]):
                metrics["ptx_loss"] = accumulate_gradients(
                    policy, documents, reading.rules.pad, config.ptx_coef
                )
        return metrics

    names = [each.ranking.name for each in comparisons]
    return Training(policy, len(comparisons), learn, rows_per_step=rankings_per_step, names=names, **schedule)


def _sums(ratios: Sequence[Tensor], part: Sequence[Comparison]) -> dict[str, float]:
    """Sums over rankings: pairs, those in order, and the log-ratios of the better and worse in each."""
    ranks = [each.ranking.ranks for each in part]
    right, pairs = correct_pairs(ratios, ranks)
    sides = [pairs_of(order) for order in ranks]
    better = sum(float(mine[side[0]].sum()) for mine, side in zip(ratios, sides, strict=True))
    worse = sum(float(mine[side[1]].sum()) for mine, side in zip(ratios, sides, strict=True))
    return {"right": right, "pairs": float(pairs), "better": better, "worse": worse}


def _means(parts: Sequence[dict[str, float]], rankings: int, config: DpoConfig) -> dict[str, float]:
    """The loss, the share of pairs in order, log-ratios in nats, and the margin of the implicit scores."""
    total = {name: sum(part[name] for part in parts) for name in parts[0]}
    pairs = max(total["pairs"], 1.0)
    better, worse = total["better"] / pairs, total["worse"] / pairs
    return {
        "loss": total["loss"],
        "accuracy": total["right"] / pairs,
        "margin": config.beta * (better - worse),
        "better_log_ratio": better,
        "worse_log_ratio": worse,
    }


@torch.no_grad()
def measure(
    policy: PreTrainedModel, comparisons: Sequence[Comparison], reading: Reading, config: DpoConfig
) -> dict[str, float]:
    """The numbers of a step on rankings that are not learned from."""
    baseline = baseline_of(policy, comparisons, reading, config)
    given = [each.ranking for each in comparisons]
    logprobs = measured_logprobs(policy, given, reading, "validation")
    ratios = [log_ratios(*each, config) for each in zip(logprobs, comparisons, strict=True)]
    losses = [
        preference_loss(mine, each.ranking, config, baseline)
        for mine, each in zip(ratios, comparisons, strict=True)
    ]
    loss = finite(torch.stack(losses).mean(), "the preference loss on validation rankings")
    return _means([{"loss": float(loss), **_sums(ratios, comparisons)}], len(comparisons), config)


def drawn_rollouts(
    reference: "PreTrainedModel | PeftModel",
    score: Score,
    prompts: list[list[int]],
    responses: Responses,
    *,
    reading: Reading,
    beta: float,
) -> tuple[Rollouts, dict[str, float]]:
    """Responses of the policy with their scores and KL to the reference, and the metrics that guards look at.

    A reward is the score less β times the KL: what the preference losses raise if scores are right.
    """
    with adapters_off(reference) as model:
        theirs = response_logprobs(model, prompts, responses.ids, reading.rules, reading.temperature)
    kl = torch.stack([part.sum() for part in responses.logprobs]) - theirs
    scores = score(prompts, responses.ids).float()
    rewards = scores - beta * kl
    finite(rewards.sum(), "the sum of scores and log-probabilities of validation responses")
    tokens = sum(map(len, responses.ids))
    metrics = {
        "score": float(scores.mean()),
        "reward": float(rewards.mean()),
        "kl": float(kl.mean()),
        "entropy": -float(torch.cat(responses.logprobs).sum()) / tokens,
        "length": tokens / len(responses.ids),
        "ended": sum(responses.ended) / len(responses.ended),
        "distinct_2": distinct(responses.ids, 2),
    }
    rollouts = Rollouts(prompts, responses.ids, responses.ended, scores=scores, kl=kl, rewards=rewards)
    return rollouts, metrics
