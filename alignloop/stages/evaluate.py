"""What a round achieved, on prompts of users never trained on: gold, win rates, behaviours, diversity, drift, alignment tax.

Gold columns stay null where prompts carry no key (people's prompts); win rates then compare reward-model scores and say so.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.logprobs import response_logprobs
from alignloop.core.metrics import length_controlled_win_rate, win_rate
from alignloop.core.models import context_of, token_rules
from alignloop.core.reward import correct_pairs, score_rankings
from alignloop.core.reward_metrics import by_group
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import pad_of
from alignloop.data.record_files import read, write
from alignloop.evaluation.best_of_n_report import rows_of_best
from alignloop.evaluation.overoptimisation import by_step
from alignloop.evaluation.responses import Answered, answer, examination, summary
from alignloop.evaluation.results_table import headline_of
from alignloop.files import rounded, write_json
from alignloop.params import Params
from alignloop.progress import Progress
from alignloop.records import Prompt, Ranking, Rollout
from alignloop.training.curves import write_curve
from alignloop.training.encoding import ranked_rows
from alignloop.world.gold import judge


def evaluate(
    params: Params,
    round: str,
    base: Path,
    sft: Path,
    before: Path,
    policy: Path,
    reward: Path,
    prompts: Path,
    corpus: Path,
    rankings: Path,
    rollouts: Path,
    out: Path,
    headline: Path,
    metrics: Path,
    plots: Path,
) -> Iterator[Progress]:
    """Compare the round's policy with base, SFT and the policy before it."""
    names = {"base": base, "sft": sft, "before": before, "policy": policy}
    asked = examination(params, prompts, corpus, reward)
    models: dict[str, Answered] = {}
    for number, (name, path) in enumerate(names.items(), 1):
        models[name] = (
            models["sft"] if name == "before" and before == sft else answer(params, name, path, asked)
        )
        yield Progress(
            number, len(names) + 1, {f"{name}_score": fmean(each.score for each in models[name].answers)}
        )
    write(
        out / "answers.jsonl",
        [each for name in names if name != "before" or before != sft for each in models[name].answers],
    )
    ranked = read(
        rankings, Ranking, allow_empty=True
    )  # of all rounds, as the reward model was trained on all
    report: dict[str, Any] = {
        "models": {name: summary(models[name]) for name in ("base", "sft", "policy")},
        "win_rates": _win_rates(models),
        "kl_to_sft_nats": _kl(params, models["policy"], models["sft"].policy),
        "reward_model": _reward_model(
            asked.reward_model, models["policy"].tokenizer, ranked, context_of(models["sft"].policy)
        ),
    }
    if params.evaluate.best_of:
        report["best_of"] = rows_of_best(params, models["sft"], asked.reward_model)
    write_json(metrics, rounded(report))
    write_json(headline, rounded(headline_of(report)))
    write_curve(
        plots, by_step(read(rollouts, Rollout, allow_empty=True), read(prompts / "train.jsonl", Prompt))
    )
    yield Progress(len(names) + 1, len(names) + 1, {"kl_to_sft_nats": report["kl_to_sft_nats"]})


def _win_rates(models: dict[str, Answered]) -> dict[str, Any]:
    def values(name: str) -> list[float]:
        return [each.score if each.gold is None else each.gold for each in models[name].answers]

    def lengths(name: str) -> list[int]:
        return [each.tokens for each in models[name].answers]

    duels = (("sft", "base"), ("policy", "base"), ("policy", "sft"), ("policy", "before"))
    rates: dict[str, Any] = {
        f"{mine}_vs_{theirs}": win_rate(values(mine), values(theirs)).as_dict() for mine, theirs in duels
    }
    controlled = length_controlled_win_rate(
        values("policy"), values("sft"), lengths("policy"), lengths("sft")
    )
    judged = all(each.gold is not None for each in models["policy"].answers)
    return {**rates, "policy_vs_sft_length_controlled": controlled, "judged_by_gold": judged}


def _kl(params: Params, model: Answered, reference: PreTrainedModel) -> float:
    """KL(policy ‖ SFT) in nats per response, estimated on the policy's own answers at the evaluation temperature."""
    rules = token_rules(model.tokenizer, reference)
    theirs = response_logprobs(reference, model.ids, model.drawn.ids, rules, params.evaluate.temperature)
    return float((torch.stack([part.sum() for part in model.drawn.logprobs]) - theirs).mean())


def _reward_model(
    model: RewardModel, tokenizer: PreTrainedTokenizerBase, rankings: Sequence[Ranking], context: int
) -> dict[str, Any]:
    """Accuracy on held-out users' prompts ranked by held-out labelers: against them and against gold, beside gold's own against them.

    Where only some prompts have gold, what is told of gold is told of their rankings alone.
    """
    ranked, too_long = ranked_rows(
        tokenizer, [ranking for ranking in rankings if ranking.split == "valid"], context
    )
    if not ranked:
        return {
            "pairs": 0,
            "too_long": too_long,
            "accuracy_labelers": None,
            "accuracy_gold": None,
            "labelers_agreement_gold": None,
            "behaviours": {},
        }
    scores = score_rankings(model, [row for _, row in ranked], pad_of(tokenizer))
    orders = [row.ranks for _, row in ranked]
    right, pairs = correct_pairs(scores, orders)
    golds = [_golds(ranking) for ranking, _ in ranked]
    report: dict[str, Any] = {
        "pairs": pairs,
        "too_long": too_long,
        "accuracy_labelers": right / max(pairs, 1),
        "accuracy_gold": None,
        "labelers_agreement_gold": None,
    }
    judged = [
        (score, order, gold)
        for score, order, gold in zip(scores, orders, golds, strict=True)
        if gold is not None
    ]
    if judged:
        said, ranks, worth = zip(*judged, strict=True)
        with_gold, gold_pairs = correct_pairs(said, [_ranks(gold) for gold in worth])
        # what gold itself would reach as a reward model: on the same pairs, its ties count a half as equal scores do
        agreed, told_apart = correct_pairs(worth, ranks)
        report["accuracy_gold"] = with_gold / gold_pairs if gold_pairs else None
        report["labelers_agreement_gold"] = agreed / told_apart if told_apart else None
    told = [order if gold is None else _ranks(gold) for order, gold in zip(orders, golds, strict=True)]
    found = by_group(scores, told, [ranking.prompt.category for ranking, _ in ranked])
    report["behaviours"] = {name: numbers["accuracy"] or 0.0 for name, numbers in found.items()}
    return report


def _golds(ranking: Ranking) -> Tensor | None:
    """Gold of each response (K,), None for people's prompts."""
    if ranking.prompt.key is None:
        return None
    return torch.tensor(
        [judge(ranking.prompt, response).score for response in ranking.responses], dtype=torch.float64
    )


def _ranks(worth: Tensor) -> list[int]:
    """1 for the greatest, equal ones alike."""
    return (torch.unique(-worth, return_inverse=True)[1] + 1).tolist()
