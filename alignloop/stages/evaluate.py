"""What a round achieved, on prompts of users never trained on: gold, win rates, behaviours, diversity, drift, alignment tax.

Gold columns stay null where prompts carry no key (people's prompts); win rates then compare reward-model scores and say so.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.fit import mean_loss
from alignloop.core.generate import Responses, sample
from alignloop.core.logprobs import response_logprobs
from alignloop.core.measures import distinct, distinct_answers, length_controlled_win_rate, win_rate
from alignloop.core.models import RewardModel, allowed_tokens, context_of, load_policy, vocabulary_of
from alignloop.core.reward import correct_pairs, score
from alignloop.core.tokens import decode, end_of, pad_of
from alignloop.io.datasets import read, write
from alignloop.io.files import write_json
from alignloop.params import Params
from alignloop.records import Answer, Document, Prompt, Ranking
from alignloop.seeds import draws, seed_of
from alignloop.stages.progress import Progress
from alignloop.stages.rows import document_rows, prompt_rows, ranked_rows
from alignloop.stages.scoring import scorer
from alignloop.world.gold import judge


@dataclass(frozen=True)
class _Model:
    """A model under evaluation, its answers, and its loss on the corpus."""

    policy: PreTrainedModel
    drawn: Responses
    answers: list[Answer]
    corpus_loss: float


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
    out: Path,
    metrics: Path,
) -> Iterator[Progress]:
    """Compare the round's policy with base, SFT and the policy before it."""
    names = {"base": base, "sft": sft, "before": before, "policy": policy}
    reward_model = RewardModel.load(reward)
    test = read(prompts / "test.jsonl", Prompt)
    documents = read(corpus / "valid.jsonl", Document)[: params.evaluate.documents]
    models: dict[str, _Model] = {}
    ids: list[list[int]] = []
    tokenizer = load_policy(sft)[1]
    for number, (name, path) in enumerate(names.items(), 1):
        if name == "before" and before == sft:
            models[name] = models["sft"]
        else:
            model, tokenizer = load_policy(path)
            rows, _ = prompt_rows(tokenizer, test, context_of(model) - params.decoding.max_new_tokens)
            order = draws(params.seed, "evaluate").permutation(len(rows))[: params.evaluate.prompts]
            chosen, ids = [rows[index][0] for index in order], [rows[index][1] for index in order]
            drawn = _answer(params, model, tokenizer, ids, name)
            answers = _judge(name, chosen, drawn, tokenizer, scorer(reward_model, tokenizer)(ids, drawn.ids).tolist())
            loss = mean_loss(model, document_rows(tokenizer, documents, context_of(model)), pad_of(tokenizer))
            models[name] = _Model(model, drawn, answers, loss)
        yield Progress(number, len(names) + 1, {f"{name}_score": fmean(answer.score for answer in models[name].answers)})
    write(out / "answers.jsonl", [answer for name in names if name != "before" or before != sft for answer in models[name].answers])
    ranked = read(rankings, Ranking, allow_empty=True)  # of all rounds, as the reward model was trained on all
    report = {
        "models": {name: _summary(models[name]) for name in ("base", "sft", "policy")},
        "win_rates": _win_rates(models),
        "kl_to_sft_nats": _kl(params, models["policy"], models["sft"].policy, ids, tokenizer),
        "reward_model": _reward_model(reward_model, tokenizer, ranked, context_of(models["sft"].policy)),
    }
    write_json(metrics, _rounded(report))
    yield Progress(len(names) + 1, len(names) + 1, {"kl_to_sft_nats": report["kl_to_sft_nats"]})


def _answer(params: Params, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ids: list[list[int]], name: str) -> Responses:
    allowed = allowed_tokens(tokenizer, vocabulary_of(model))
    generator = torch.Generator().manual_seed(seed_of(params.seed, "evaluate", name))
    limit, batch = params.decoding.max_new_tokens, params.decoding.batch
    return sample(model, ids, allowed, end_of(tokenizer), params.evaluate.temperature, limit, generator, batch)


def _judge(
    name: str, prompts: Sequence[Prompt], drawn: Responses, tokenizer: PreTrainedTokenizerBase, scores: Sequence[float]
) -> list[Answer]:
    answers = []
    for prompt, ids, ended, value in zip(prompts, drawn.ids, drawn.ended, scores, strict=True):
        text = decode(tokenizer, ids)
        gold = judge(prompt, text) if prompt.key is not None else None
        answers.append(
            Answer(
                id=f"{name}-{prompt.id}",
                prompt=prompt,
                model=name,
                response=text,
                tokens=len(ids),
                ended=ended,
                score=round(value, 6),
                gold=None if gold is None else gold.score,
                passed=None if gold is None else gold.passed,
                made_up=None if gold is None else gold.made_up,
            )
        )
    return answers


def _summary(model: _Model) -> dict[str, Any]:
    answers = model.answers
    by_behaviour: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_behaviour[answer.prompt.category].append(answer)
    return {
        "gold": _mean([answer.gold for answer in answers]),
        "passed": _mean([answer.passed for answer in answers]),
        "made_up": _mean([answer.made_up for answer in answers if answer.prompt.category in ("unknown", "false_premise")]),
        "score": fmean(answer.score for answer in answers),
        "length": fmean(answer.tokens for answer in answers),
        "ended": fmean(answer.ended for answer in answers),
        "distinct_1": distinct(model.drawn.ids, 1),
        "distinct_2": distinct(model.drawn.ids, 2),
        "distinct_answers": distinct_answers([answer.response for answer in answers]),
        "perplexity": exp(model.corpus_loss),
        "behaviours": {
            name: {"n": len(group), "passed": _mean([answer.passed for answer in group]), "gold": _mean([answer.gold for answer in group])}
            for name, group in sorted(by_behaviour.items())
        },
    }


def _win_rates(models: dict[str, _Model]) -> dict[str, Any]:
    def values(name: str) -> list[float]:
        return [answer.score if answer.gold is None else answer.gold for answer in models[name].answers]

    def lengths(name: str) -> list[int]:
        return [answer.tokens for answer in models[name].answers]

    duels = (("sft", "base"), ("policy", "base"), ("policy", "sft"), ("policy", "before"))
    rates: dict[str, Any] = {f"{mine}_vs_{theirs}": win_rate(values(mine), values(theirs)).as_dict() for mine, theirs in duels}
    controlled = length_controlled_win_rate(values("policy"), values("sft"), lengths("policy"), lengths("sft"))
    judged = all(answer.gold is not None for answer in models["policy"].answers)
    return {**rates, "policy_vs_sft_length_controlled": controlled, "judged_by_gold": judged}


def _kl(params: Params, model: _Model, reference: PreTrainedModel, ids: list[list[int]], tokenizer: PreTrainedTokenizerBase) -> float:
    """KL(policy ‖ SFT) in nats per response, estimated on the policy's own answers at the evaluation temperature."""
    allowed = allowed_tokens(tokenizer, vocabulary_of(reference))
    theirs = response_logprobs(reference, ids, model.drawn.ids, allowed, params.evaluate.temperature, pad_of(tokenizer))
    return float((torch.stack([part.sum() for part in model.drawn.logprobs]) - theirs).mean())


def _reward_model(model: RewardModel, tokenizer: PreTrainedTokenizerBase, rankings: Sequence[Ranking], context: int) -> dict[str, Any]:
    """Accuracy on held-out users' prompts ranked by held-out labelers: against them and against gold, beside their agreement with gold."""
    ranked, _ = ranked_rows(tokenizer, [ranking for ranking in rankings if ranking.split == "valid"], context)
    if not ranked:
        return {"pairs": 0, "accuracy_labelers": None, "accuracy_gold": None, "labelers_agreement_gold": None, "behaviours": {}}
    scores = [score(model, row.rows, pad_of(tokenizer)) for _, row in ranked]
    orders = [row.ranks for _, row in ranked]
    right, pairs = correct_pairs(scores, orders)
    golden = [_gold_ranks(ranking) for ranking, _ in ranked]
    judged = [place for place, order in enumerate(golden) if order is not None]
    report: dict[str, Any] = {
        "pairs": pairs,
        "accuracy_labelers": right / max(pairs, 1),
        "accuracy_gold": None,
        "labelers_agreement_gold": None,
    }
    if judged:
        gold = [golden[place] or [] for place in judged]
        with_gold, gold_pairs = correct_pairs([scores[place] for place in judged], gold)
        # labelers against gold: only pairs that both tell apart
        agreed = [_agreement(orders[place], order) for place, order in zip(judged, gold, strict=True)]
        report["accuracy_gold"] = with_gold / max(gold_pairs, 1)
        report["labelers_agreement_gold"] = sum(same for same, _ in agreed) / max(sum(both for _, both in agreed), 1)
    by_behaviour: dict[str, list[int]] = defaultdict(list)
    for place, (ranking, _) in enumerate(ranked):
        by_behaviour[ranking.prompt.category].append(place)
    report["behaviours"] = {}
    for name, places in sorted(by_behaviour.items()):
        some, all_of = correct_pairs([scores[place] for place in places], [golden[place] or orders[place] for place in places])
        report["behaviours"][name] = some / max(all_of, 1)
    return report


def _gold_ranks(ranking: Ranking) -> list[int] | None:
    if ranking.prompt.key is None:
        return None
    golds = [judge(ranking.prompt, response).score for response in ranking.responses]
    order = sorted(set(golds), reverse=True)
    return [order.index(value) + 1 for value in golds]


def _agreement(one: Sequence[int], other: Sequence[int]) -> tuple[int, int]:
    """Pairs ordered alike by both, and pairs that both tell apart."""
    pairs = [(a, b) for a in range(len(one)) for b in range(a) if one[a] != one[b] and other[a] != other[b]]
    return sum((one[a] < one[b]) == (other[a] < other[b]) for a, b in pairs), len(pairs)


def _mean(values: Sequence[float | bool | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None


def _rounded(value: Any) -> Any:
    """Six decimals throughout: a metrics file is read by people and compared by git."""
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return round(value, 6) if isinstance(value, float) else value
