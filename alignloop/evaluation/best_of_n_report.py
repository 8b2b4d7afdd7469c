"""Best of n: what the best of n responses by the reward model earns, as a row of the evaluation."""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.best_of_n import expected_value, kl_if_all_differ, kl_measured
from alignloop.core.experience import Score
from alignloop.core.models import context_of, token_rules
from alignloop.core.reward_model import RewardModel
from alignloop.core.sampler import Sampler
from alignloop.evaluation.responses import ModelResponses
from alignloop.params.evaluate import Evaluate
from alignloop.params.sample import Decoding
from alignloop.params.tools import Tools
from alignloop.seeds import seed_of
from alignloop.tool_turns import Turns
from alignloop.tools.responder import Responder, open_responder
from alignloop.training.scoring import scorer
from alignloop.world.gold import judge

PROMPTS_PER_CALL = 64


class Pool(NamedTuple):
    """N responses to each of P prompts: their texts, scores (P, N) and lengths in tokens (P, N).

    With tools, texts and lengths are those of the last turns; `turns` has all of them, else None.
    """

    texts: list[list[str]]
    turns: list[list[Turns | None]]
    scores: Tensor
    tokens: Tensor


def best_of_n_rows(
    seed: int,
    plan: Evaluate,
    decoding: Decoding,
    tools: Tools,
    *,
    model: ModelResponses,
    reward_model: RewardModel,
    sampler: Sampler,
) -> dict[str, Any]:
    """What the best of n responses earns for each n of `evaluate.best_of`, from one pool of the largest n."""
    assert model.policy, "SFT's model is kept"
    prompts = [response.prompt for response in model.responses]
    with open_responder(tools, model.tokenizer) as responder:
        room = responder.room(context_of(model.policy), decoding.max_new_tokens)
        rows, _ = responder.prompt_rows(model.tokenizer, prompts, room)
        pool = draw_pool(
            model.policy,
            model.tokenizer,
            [ids for _, ids in rows],
            score=scorer(reward_model, model.tokenizer),
            size=max(plan.best_of),
            temperature=plan.temperature,
            decoding=decoding,
            generator=torch.Generator().manual_seed(seed_of(seed, "evaluate", "best of")),
            sampler=sampler,
            responder=responder,
        )
    gold = None
    if all(prompt.key is not None for prompt in prompts):
        gold = torch.tensor(
            [
                [judge(prompt, text).score for text in row]
                for prompt, row in zip(prompts, pool.texts, strict=True)
            ]
        ).double()
    single = torch.tensor(
        [[each.score if each.gold is None else each.gold] for each in model.responses]
    ).double()
    gaps = (pool.scores if gold is None else gold) - single
    outcomes = (gaps > 1e-9).double() + 0.5 * (gaps.abs() <= 1e-9)
    return {
        str(n): {
            "score": float(expected_value(pool.scores, pool.scores, n).mean()),
            "gold": None if gold is None else float(expected_value(pool.scores, gold, n).mean()),
            "length": float(expected_value(pool.scores, pool.tokens, n).mean()),
            "wins": _mean_with_interval(expected_value(pool.scores, outcomes, n)),
            "kl_if_all_differ_nats": kl_if_all_differ(n),
            "kl_measured_nats": float(kl_measured(pool.scores, n).mean()),
        }
        for n in plan.best_of
    }


def _mean_with_interval(values: Tensor) -> dict[str, float]:
    """The mean over prompts (P,) with its 95 % interval."""
    mean, reach = float(values.mean()), 1.96 * float(values.std(correction=0)) / sqrt(len(values))
    return {"rate": mean, "low": max(0.0, mean - reach), "high": min(1.0, mean + reach), "n": len(values)}


def draw_pool(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    *,
    score: Score,
    size: int,
    temperature: float,
    decoding: Decoding,
    generator: torch.Generator,
    sampler: Sampler,
    responder: Responder,
    say: Callable[[int], None] = lambda done: None,
) -> Pool:
    """Draw `size` responses to each prompt, which `responder` has encoded, and score them.

    `say` gets the number of prompts done.
    """
    rules = token_rules(tokenizer, policy)
    sampler.follow(policy)
    sampler, score = responder.sampler(sampler), responder.reading(score)
    texts: list[list[str]] = []
    turns: list[list[Turns | None]] = []
    scores, tokens = [], []
    for start in range(0, len(prompts), PROMPTS_PER_CALL):
        repeated = [ids for ids in prompts[start : start + PROMPTS_PER_CALL] for _ in range(size)]
        drawn = sampler.draw(
            repeated,
            rules,
            temperature=temperature,
            max_new_tokens=decoding.max_new_tokens,
            generator=generator,
            batch=decoding.responses_per_batch,
        )
        for place in range(0, len(drawn.ids), size):
            of_prompt = drawn.ids[place : place + size]
            texts.append([responder.text(ids) for ids in of_prompt])
            turns.append([responder.turns(ids) for ids in of_prompt])
        scores.append(score(repeated, drawn.ids).double().view(-1, size))
        lengths = [len(ids) for ids in responder.last_turns(repeated, drawn.ids)[1]]
        tokens.append(torch.tensor(lengths).double().view(-1, size))
        say(len(texts))
    return Pool(texts, turns, torch.cat(scores), torch.cat(tokens))
