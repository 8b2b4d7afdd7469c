"""One model's responses to the test prompts: drawn, scored and summed up."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.checkpoint_folder import load_tokenizer
from alignloop.core.generate import Responses
from alignloop.core.logprobs import response_logprobs
from alignloop.core.metrics import distinct, distinct_responses
from alignloop.core.models import context_of, load_policy, token_rules
from alignloop.core.reward_model import RewardModel
from alignloop.core.sampler import Sampler
from alignloop.data.pretraining_text import by_stated_domain, read_text
from alignloop.data.record_files import read
from alignloop.evaluation.other_tokenizer import OtherTokens, same_tokens
from alignloop.evaluation.sources import sources_report
from alignloop.params.evaluate import Evaluate
from alignloop.params.sample import Decoding
from alignloop.params.tools import Tools
from alignloop.records import Document, EvaluatedResponse, Prompt
from alignloop.seeds import draws, seed_of
from alignloop.tool_turns import Turns
from alignloop.tools.responder import Responder, open_responder
from alignloop.training.corpus_loss import DomainLoss, corpus_loss, domain_losses, numbers_of
from alignloop.training.encoding import document_rows
from alignloop.training.scoring import scorer
from alignloop.world.gold import judge


@dataclass(frozen=True)
class TestSet:
    """What every model is measured on: test prompts, validation documents, and the reward model.

    `without_gold` counts the test prompts that are left out because others alone have a gold score.
    """

    __test__ = False  # pytest collects classes by this name

    prompts: list[Prompt]
    documents: list[Document]
    reward_model: RewardModel
    tokenizer: PreTrainedTokenizerBase | None = None  # the reward model's; None: as every policy's
    without_gold: int = 0


@dataclass(frozen=True)
class ModelResponses:
    """A model and its responses: prompts' token ids, how many were too long, the loss in nats per token.

    The loss is on the documents, None where there are none; `domains` has that of each domain, where
    documents state one.
    """

    policy: PreTrainedModel | None  # None once it is let go: four models of a large checkpoint fill a GPU
    tokenizer: PreTrainedTokenizerBase
    ids: list[list[int]]
    drawn: Responses
    responses: list[EvaluatedResponse]
    loss: float | None
    domains: dict[str, DomainLoss]
    too_long: int
    tokens: Sequence[list[int]]  # of the responses, by the reward model's tokenizer
    faults: Sequence[str] = ()  # a sentence for each way in which calls of tools failed


def load_test_set(plan: Evaluate, prompts: Path, corpus: Path, reward: Path) -> TestSet:
    """The test prompts, the held-out documents and the reward model.

    Where some prompts have a gold score, the others are left out: models are measured on one scale.
    """
    documents = read_text(corpus, "valid")[: plan.documents]
    model, tokenizer = RewardModel.load(reward).frozen(), load_tokenizer(reward)
    tests = read(prompts / "test.jsonl", Prompt)
    with_gold = [prompt for prompt in tests if prompt.key is not None]
    chosen = with_gold or tests
    return TestSet(chosen, documents, model, tokenizer, len(tests) - len(chosen))


def respond(
    seed: int,
    plan: Evaluate,
    decoding: Decoding,
    tools: Tools,
    *,
    name: str,
    path: Path,
    tests: TestSet,
    sampler: Sampler,
) -> ModelResponses:
    """Draw the responses of the model at `path`; each name has its own stream of random numbers."""
    model, tokenizer = load_policy(path)
    with open_responder(tools, tokenizer) as responder:
        return _respond(
            seed,
            plan,
            decoding,
            name=name,
            model=model,
            tokenizer=tokenizer,
            tests=tests,
            sampler=sampler,
            responder=responder,
        )


def _respond(
    seed: int,
    plan: Evaluate,
    decoding: Decoding,
    *,
    name: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tests: TestSet,
    sampler: Sampler,
    responder: Responder,
) -> ModelResponses:
    room = responder.room(context_of(model), decoding.max_new_tokens)
    rows, too_long = responder.prompt_rows(tokenizer, tests.prompts, room)
    order = draws(seed, "evaluate").permutation(len(rows))[: plan.prompts]
    chosen, ids = [rows[index][0] for index in order], [rows[index][1] for index in order]
    sampler.follow(model)
    drawn = responder.sampler(sampler).draw(
        ids,
        token_rules(tokenizer, model),
        temperature=plan.temperature,
        max_new_tokens=decoding.max_new_tokens,
        generator=torch.Generator().manual_seed(seed_of(seed, "evaluate", name)),
        batch=decoding.responses_per_batch,
    )
    texts = [responder.text(row) for row in drawn.ids]
    plain, last = responder.last_turns(ids, drawn.ids)
    other = None
    if tests.tokenizer is None or same_tokens(tokenizer, tests.tokenizer):
        tokens, scores = last, scorer(tests.reward_model, tokenizer)(plain, last)
    else:
        other = OtherTokens(tests.reward_model, tests.tokenizer)
        tokens, scores = other.tokens(texts, drawn.ended), other.score(chosen, texts)

    def measured(documents: Sequence[Document]) -> float | None:
        loss = corpus_loss(model, tokenizer, documents)
        if other is None or loss is None:
            return loss
        return other.loss(loss, document_rows(tokenizer, documents, context_of(model)), documents)

    responses = [
        _judged(
            name,
            prompt,
            texts[place],
            tokens=len(tokens[place]),
            ended=drawn.ended[place],
            score=score,
            turns=responder.turns(drawn.ids[place]),
        )
        for place, (prompt, score) in enumerate(zip(chosen, scores.tolist(), strict=True))
    ]
    return ModelResponses(
        policy=model,
        tokenizer=tokenizer,
        ids=ids,
        drawn=drawn,
        responses=responses,
        loss=measured(tests.documents),
        domains=domain_losses(by_stated_domain(tests.documents), measured),
        too_long=too_long,
        tokens=tokens,
        faults=responder.new_faults(),
    )


def _judged(
    name: str, prompt: Prompt, text: str, *, tokens: int, ended: bool, score: float, turns: Turns | None
) -> EvaluatedResponse:
    gold = judge(prompt, text) if prompt.key is not None else None
    return EvaluatedResponse(
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
        turns=turns,
    )


def kl_to(reference: PreTrainedModel, model: ModelResponses, temperature: float) -> float:
    """KL(model ‖ reference) in nats per response, estimated on the model's responses, its own tokens."""
    rules, drawn = token_rules(model.tokenizer, reference), model.drawn
    theirs = response_logprobs(reference, model.ids, drawn.ids, rules, temperature, own=drawn.own)
    return float((torch.stack([part.sum() for part in drawn.logprobs]) - theirs).mean())


def summary(model: ModelResponses) -> dict[str, Any]:
    """A model's numbers over all its responses, and by behaviour."""
    responses = model.responses
    by_behaviour: dict[str, list[EvaluatedResponse]] = defaultdict(list)
    for each in responses:
        by_behaviour[each.prompt.category].append(each)
    invented = [each.made_up for each in responses if each.prompt.category in ("unknown", "false_premise")]
    refused = [each.over_refused for each in responses if each.prompt.category == "harmless"]
    behaviours = {
        name: {
            "n": len(group),
            "passed": _mean([each.passed for each in group]),
            "gold": _mean([each.gold for each in group]),
        }
        for name, group in sorted(by_behaviour.items())
    }
    return {
        "gold": _mean([each.gold for each in responses]),
        "passed": _mean([each.passed for each in responses]),
        "made_up": _mean(invented),
        "over_refused": _mean(refused),
        "score": fmean(each.score for each in responses),
        "length": fmean(each.tokens for each in responses),
        "ended": fmean(each.ended for each in responses),
        "distinct_1": distinct(model.tokens, 1),
        "distinct_2": distinct(model.tokens, 2),
        "distinct_responses": distinct_responses([each.response for each in responses]),
        "perplexity": None if model.loss is None else exp(model.loss),
        "too_long": model.too_long,
        "behaviours": behaviours,
        **({"sources": sources_report(responses)} if responses[0].turns else {}),
        **numbers_of(model.domains),
    }


def _mean(values: Sequence[float | bool | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None
