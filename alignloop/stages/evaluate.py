"""Evaluates a round's policy on prompts of users never trained on.

It reports ground-truth (gold) scores, win rates, behaviours, diversity, KL to SFT and the alignment tax.
Gold columns stay null where prompts carry no key (people's prompts); win rates then compare reward-model
scores and say so, and the judge of `evaluate.judge`, which training cannot reach, is asked as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignloop.core.batches import spread
from alignloop.core.metrics import length_controlled_win_rate, win_rate
from alignloop.core.models import context_of
from alignloop.core.reward_metrics import by_group, correct_pairs
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score_rankings
from alignloop.core.tokens import pad_of
from alignloop.data.record_files import read, write
from alignloop.evaluation.best_of_n_report import best_of_n_rows
from alignloop.evaluation.harness import HarnessResults, run_tasks
from alignloop.evaluation.overoptimisation import by_step
from alignloop.evaluation.responses import ModelResponses, kl_to, load_test_set, respond, summary
from alignloop.evaluation.results_table import headline_of
from alignloop.files import replacing, rounded, write_json
from alignloop.inference.open_sampler import open_sampler
from alignloop.labeling.independent_judge import independent_wins
from alignloop.params.evaluate import Evaluate
from alignloop.params.rollout import RolloutEngine
from alignloop.params.sample import Decoding
from alignloop.params.section import Seed
from alignloop.params.tools import Tools
from alignloop.phases import phase
from alignloop.progress import Progress
from alignloop.records import Prompt, Ranking, Rollout
from alignloop.seeds import seed_of
from alignloop.training.curves import write_curve
from alignloop.training.encoding import ranked_rows
from alignloop.training.measured import spread_note
from alignloop.world.gold import judge


def evaluate(
    seed: Seed,
    plan: Evaluate,
    decoding: Decoding,
    tools: Tools,
    engine: RolloutEngine,
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
    """Compare the round's policy with base, SFT and the policy of the round before."""
    paths = {"base": base, "sft": sft, "before": before, "policy": policy}
    tests = load_test_set(plan, prompts, corpus, reward)
    if tests.without_gold:
        note = f"measured on prompts with a gold score; {tests.without_gold} test prompts have none"
        yield Progress(0, len(paths) + 1, note=note)
    models: dict[str, ModelResponses] = {}
    tasks: dict[str, HarnessResults] = {}
    with open_sampler(engine, sft) as sampler:
        for number, (name, path) in enumerate(paths.items(), 1):
            if name == "before" and before == sft:
                models[name] = models["sft"]
            else:
                with phase("responses", of=f"of {name}"):
                    models[name] = respond(
                        seed, plan, decoding, tools, name=name, path=path, tests=tests, sampler=sampler
                    )
            if plan.tasks and name != "before":
                model = models[name]
                assert model.policy
                done = run_tasks(
                    model.policy,
                    model.tokenizer,
                    plan.tasks,
                    name=name,
                    seed=seed_of(seed, "evaluate", "tasks"),
                    max_new_tokens=decoding.max_new_tokens,
                )
                tasks[name] = done
            if name != "sft":  # which alone is read again
                models[name] = replace(models[name], policy=None)
            score = fmean(each.score for each in models[name].responses)
            note = "; ".join(f"{name}: {fault}" for fault in models[name].faults)
            yield Progress(number, len(paths) + 1, {f"{name}_score": score}, note)
        own = [name for name in paths if name != "before" or before != sft]
        write(out / "responses.jsonl", [each for name in own for each in models[name].responses])
        # of all rounds: the reward model learned from all
        held_out = [each for each in read(rankings, Ranking, allow_empty=True) if each.split == "valid"]
        if note := spread_note(
            "the reward model is measured on rankings", len(held_out), "evaluate.rankings", plan.rankings
        ):
            yield Progress(len(paths), len(paths) + 1, note=note)
        reference = models["sft"].policy
        assert reference
        report: dict[str, Any] = {
            "models": {name: summary(models[name]) for name in ("base", "sft", "policy")},
            "win_rates": _win_rates(models),
            "kl_to_sft_nats": kl_to(reference, models["policy"], plan.temperature),
            "reward_model": _reward_model(
                tests.reward_model,
                models["policy"].tokenizer,
                spread(held_out, plan.rankings),
                context_of(reference),
            ),
        }
        if tests.without_gold:
            report["test_prompts_without_gold"] = tests.without_gold
        judged = independent_wins(
            seed, plan.judge, reward, models["policy"].responses, models["sft"].responses
        )
        if judged.wins:
            report["judge"] = judged.wins
            yield Progress(len(paths), len(paths) + 1, {"judge_calls": judged.calls})
        if judged.pairs:
            write(out / "judged.jsonl", judged.pairs)
        if tasks:
            report["tasks"] = {name: done.numbers for name, done in tasks.items()}
            with replacing(out / "tasks.jsonl") as part:
                lines = [line for done in tasks.values() for line in done.lines]
                part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if plan.best_of:
            report["best_of"] = best_of_n_rows(
                seed,
                plan,
                decoding,
                tools,
                model=models["sft"],
                reward_model=tests.reward_model,
                sampler=sampler,
            )
    write_json(metrics, rounded(report))
    write_json(headline, rounded(headline_of(report)))
    drawn = read(rollouts, Rollout, allow_empty=True)
    write_curve(plots, by_step(drawn, read(prompts / "train.jsonl", Prompt)))
    yield Progress(len(paths) + 1, len(paths) + 1, {"kl_to_sft_nats": report["kl_to_sft_nats"]})


def _win_rates(models: dict[str, ModelResponses]) -> dict[str, Any]:
    def values(name: str) -> list[float]:
        return [each.score if each.gold is None else each.gold for each in models[name].responses]

    def lengths(name: str) -> list[int]:
        return [each.tokens for each in models[name].responses]

    pairs = (("sft", "base"), ("policy", "base"), ("policy", "sft"), ("policy", "before"))
    rates: dict[str, Any] = {
        f"{mine}_vs_{theirs}": win_rate(values(mine), values(theirs)).as_dict() for mine, theirs in pairs
    }
    controlled = length_controlled_win_rate(
        values("policy"), values("sft"), lengths("policy"), lengths("sft")
    )
    by_gold = all(each.gold is not None for each in models["policy"].responses)
    return {**rates, "policy_vs_sft_length_controlled": controlled, "judged_by_gold": by_gold}


def _reward_model(
    model: RewardModel, tokenizer: PreTrainedTokenizerBase, held_out: Sequence[Ranking], context: int
) -> dict[str, Any]:
    """The reward model's accuracy on held-out users' prompts that held-out labelers ranked.

    Against the labelers and against gold, with gold's own accuracy against the labelers beside it. Where
    only some prompts have gold, the numbers on gold cover their rankings alone.
    """
    ranked, too_long = ranked_rows(tokenizer, held_out, context)
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
    known = [place for place, gold in enumerate(golds) if gold is not None]
    if known:
        worth = [gold for gold in golds if gold is not None]
        right_by_gold, gold_pairs = correct_pairs(
            [scores[place] for place in known], [_ranks(gold) for gold in worth]
        )
        # gold as a reward model: on the same pairs, its ties count a half as equal scores do
        agreed, ordered_pairs = correct_pairs(worth, [orders[place] for place in known])
        report["accuracy_gold"] = right_by_gold / gold_pairs if gold_pairs else None
        report["labelers_agreement_gold"] = agreed / ordered_pairs if ordered_pairs else None
    truth = [order if gold is None else _ranks(gold) for order, gold in zip(orders, golds, strict=True)]
    groups = by_group(scores, truth, [ranking.prompt.category for ranking, _ in ranked])
    report["behaviours"] = {name: numbers["accuracy"] or 0.0 for name, numbers in groups.items()}
    return report


def _golds(ranking: Ranking) -> Tensor | None:
    """The gold score of each response (K,), None for people's prompts."""
    if ranking.prompt.key is None:
        return None
    scores = [judge(ranking.prompt, response).score for response in ranking.responses]
    return torch.tensor(scores, dtype=torch.float64)


def _ranks(worth: Tensor) -> list[int]:
    """Rank 1 for the greatest; equal values share a rank."""
    return (torch.unique(-worth, return_inverse=True)[1] + 1).tolist()
