"""One model's answers to prompts of users never trained on: drawn, judged and summed up. Models are compared by what this gives of each."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.generate import Responses, sample
from alignloop.core.lm_training import mean_loss
from alignloop.core.metrics import distinct, distinct_responses
from alignloop.core.models import context_of, load_policy, token_rules
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import decode, pad_of
from alignloop.data.record_files import read
from alignloop.params import Params
from alignloop.records import Answer, Document, Prompt
from alignloop.seeds import draws, seed_of
from alignloop.training.encoding import document_rows, prompt_rows
from alignloop.training.scoring import scorer
from alignloop.world.gold import judge


@dataclass(frozen=True)
class Examination:
    """What every model is asked: prompts, and text whose loss is the alignment tax; and the reward model that scores the answers."""

    prompts: list[Prompt]
    documents: list[Document]
    reward_model: RewardModel


@dataclass(frozen=True)
class Answered:
    """A model, the prompts' token ids and how many were too long, its answers, and its loss on the documents in nats per token."""

    policy: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    ids: list[list[int]]
    drawn: Responses
    answers: list[Answer]
    loss: float
    too_long: int


def examination(params: Params, prompts: Path, corpus: Path, reward: Path) -> Examination:
    """The test prompts, the held-out documents and the reward model."""
    documents = read(corpus / "valid.jsonl", Document)[: params.evaluate.documents]
    return Examination(read(prompts / "test.jsonl", Prompt), documents, RewardModel.load(reward))


def answer(params: Params, name: str, path: Path, asked: Examination) -> Answered:
    """Let the model of `path` answer, each name from a stream of draws of its own; its answers are marked with that name."""
    model, tokenizer = load_policy(path)
    rows, too_long = prompt_rows(tokenizer, asked.prompts, context_of(model) - params.decoding.max_new_tokens)
    order = draws(params.seed, "evaluate").permutation(len(rows))[: params.evaluate.prompts]
    chosen, ids = [rows[index][0] for index in order], [rows[index][1] for index in order]
    drawn = sample(
        model,
        ids,
        token_rules(tokenizer, model),
        temperature=params.evaluate.temperature,
        max_new_tokens=params.decoding.max_new_tokens,
        generator=torch.Generator().manual_seed(seed_of(params.seed, "evaluate", name)),
        batch=params.decoding.batch,
    )
    scores = scorer(asked.reward_model, tokenizer)(ids, drawn.ids).tolist()
    answers = [
        _judged(name, prompt, decode(tokenizer, tokens), len(tokens), ended, score)
        for prompt, tokens, ended, score in zip(chosen, drawn.ids, drawn.ended, scores, strict=True)
    ]
    loss = mean_loss(model, document_rows(tokenizer, asked.documents, context_of(model)), pad_of(tokenizer))
    return Answered(model, tokenizer, ids, drawn, answers, loss, too_long)


def _judged(name: str, prompt: Prompt, text: str, tokens: int, ended: bool, score: float) -> Answer:
    gold = judge(prompt, text) if prompt.key is not None else None
    return Answer(
        id=f"{name}-{prompt.id}",
        prompt=prompt,
        model=name,
        response=text,
        tokens=tokens,
        ended=ended,
        score=round(score, 6),
        gold=None if gold is None else gold.score,
        passed=None if gold is None else gold.passed,
        made_up=None if gold is None else gold.made_up,
        over_refused=None if gold is None else gold.over_refused,
    )


def summary(model: Answered) -> dict[str, Any]:
    """A model's numbers over all its answers, and by behaviour."""
    answers = model.answers
    by_behaviour: dict[str, list[Answer]] = defaultdict(list)
    for each in answers:
        by_behaviour[each.prompt.category].append(each)
    return {
        "gold": _mean([each.gold for each in answers]),
        "passed": _mean([each.passed for each in answers]),
        "made_up": _mean(
            [each.made_up for each in answers if each.prompt.category in ("unknown", "false_premise")]
        ),
        "over_refused": _mean([each.over_refused for each in answers if each.prompt.category == "harmless"]),
        "score": fmean(each.score for each in answers),
        "length": fmean(each.tokens for each in answers),
        "ended": fmean(each.ended for each in answers),
        "distinct_1": distinct(model.drawn.ids, 1),
        "distinct_2": distinct(model.drawn.ids, 2),
        "distinct_answers": distinct_responses([each.response for each in answers]),
        "perplexity": exp(model.loss),
        "too_long": model.too_long,
        "behaviours": {
            name: {
                "n": len(group),
                "passed": _mean([each.passed for each in group]),
                "gold": _mean([each.gold for each in group]),
            }
            for name, group in sorted(by_behaviour.items())
        },
    }


def _mean(values: Sequence[float | bool | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None
