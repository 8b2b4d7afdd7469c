"""Best of n: SFT's answers, sorted out by the reward model. A row of the evaluation, and demonstrations by rejection sampling.

`python -m alignloop best-of` draws n answers to each training prompt, keeps the one that scores best and writes it as a demonstration, for
`sft.more` in params.yaml or as a source of another run (arXiv 2307.09288, §3.2.3).
"""

import argparse
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop import params as parameters
from alignloop.core.best_of_n import expected_value, kl_if_all_differ, kl_measured, win_probabilities
from alignloop.core.experience import Score
from alignloop.core.generate import sample
from alignloop.core.models import context_of, load_policy, token_rules
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import decode
from alignloop.data.record_files import read, write
from alignloop.evaluation.responses import Answered
from alignloop.params import Params
from alignloop.records import Demonstration, Message, Prompt
from alignloop.seeds import seed_of
from alignloop.training.encoding import prompt_rows
from alignloop.training.scoring import scorer
from alignloop.world.gold import judge

PROMPTS_PER_CALL = 64


def rows_of_best(params: Params, model: Answered, reward_model: RewardModel) -> dict[str, Any]:
    """For every n of `evaluate.best_of`, what the best of n answers of a model earns, estimated from one pool of the largest n."""
    sizes, prompts = params.evaluate.best_of, [answer.prompt for answer in model.answers]
    score = scorer(reward_model, model.tokenizer)
    texts, scores, tokens = _pool(
        params,
        model.policy,
        model.tokenizer,
        model.ids,
        score,
        max(sizes),
        params.evaluate.temperature,
        "evaluate",
    )
    gold = None
    if all(prompt.key is not None for prompt in prompts):
        gold = torch.tensor(
            [[judge(prompt, text).score for text in row] for prompt, row in zip(prompts, texts, strict=True)]
        ).double()
    single = torch.tensor(
        [[answer.score if answer.gold is None else answer.gold] for answer in model.answers]
    ).double()
    gaps = (scores if gold is None else gold) - single
    outcomes = (gaps > 1e-9).double() + 0.5 * (gaps.abs() <= 1e-9)
    return {
        str(n): {
            "score": float(expected_value(scores, scores, n).mean()),
            "gold": None if gold is None else float(expected_value(scores, gold, n).mean()),
            "length": float(expected_value(scores, tokens, n).mean()),
            "wins": _mean_with_interval(expected_value(scores, outcomes, n)),
            "kl_if_all_differ_nats": kl_if_all_differ(n),
            "kl_measured_nats": float(kl_measured(scores, n).mean()),
        }
        for n in sizes
    }


def _mean_with_interval(values: Tensor) -> dict[str, float]:
    """The mean over prompts (P,) with its 95 % interval."""
    mean, reach = float(values.mean()), 1.96 * float(values.std(correction=0)) / sqrt(len(values))
    return {"rate": mean, "low": max(0.0, mean - reach), "high": min(1.0, mean + reach), "n": len(values)}


def _pool(
    params: Params,
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    score: Score,
    size: int,
    temperature: float,
    use: str,
    say: Callable[[int], None] = lambda done: None,
) -> tuple[list[list[str]], Tensor, Tensor]:
    """`size` answers to each prompt: their texts, scores (P, N) and lengths in tokens (P, N)."""
    rules, plan = token_rules(tokenizer, policy), params.decoding
    generator = torch.Generator().manual_seed(seed_of(params.seed, use, "best of"))
    texts: list[list[str]] = []
    scores, tokens = [], []
    for start in range(0, len(prompts), PROMPTS_PER_CALL):
        repeated = [ids for ids in prompts[start : start + PROMPTS_PER_CALL] for _ in range(size)]
        drawn = sample(
            policy,
            repeated,
            rules,
            temperature=temperature,
            max_new_tokens=plan.max_new_tokens,
            generator=generator,
            batch=plan.batch,
        )
        said = [decode(tokenizer, ids) for ids in drawn.ids]
        texts += [said[place : place + size] for place in range(0, len(said), size)]
        scores.append(score(repeated, drawn.ids).double().view(-1, size))
        tokens.append(torch.tensor([len(ids) for ids in drawn.ids]).double().view(-1, size))
        say(len(texts))
    return texts, torch.cat(scores), torch.cat(tokens)


def command(arguments: Sequence[str]) -> int:
    """Write the best answers of a policy to training prompts as demonstrations."""
    parser = argparse.ArgumentParser(
        "python -m alignloop best-of",
        description="Rejection sampling: the best of n answers as demonstrations.",
    )
    parser.add_argument("--policy", type=Path, required=True, help="whose answers: models/sft, say")
    parser.add_argument(
        "--reward", type=Path, required=True, help="the reward model that chooses: models/r3/reward, say"
    )
    parser.add_argument("--prompts", type=Path, default=Path("data/prompts/train.jsonl"))
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--limit", type=int, help="prompts at most, the first ones")
    parser.add_argument(
        "--out", type=Path, required=True, help="a file of demonstrations, for sft.more or data/sources"
    )
    asked = parser.parse_args(arguments)
    if asked.n < 1:
        parser.error(f"--n {asked.n}: one answer at least")
    if asked.limit is not None and asked.limit < 1:
        parser.error(f"--limit {asked.limit}: one prompt at least")
    params = parameters.load(Path("params.yaml"))
    policy, tokenizer = load_policy(asked.policy)
    rows, _ = prompt_rows(
        tokenizer,
        read(asked.prompts, Prompt)[: asked.limit],
        context_of(policy) - params.decoding.max_new_tokens,
    )
    score, ids = scorer(RewardModel.load(asked.reward), tokenizer), [row for _, row in rows]
    heat = params.decoding.temperature
    texts, scores, _ = _pool(
        params,
        policy,
        tokenizer,
        ids,
        score,
        asked.n,
        heat,
        "best-of",
        lambda done: print(f"{done:,}/{len(rows):,} prompts", flush=True),
    )
    best = [
        row[int(place)]
        for row, place in zip(texts, win_probabilities(scores, asked.n).argmax(1), strict=True)
    ]
    made = [
        _demonstration(prompt, text, asked.n)
        for (prompt, _), text in zip(rows, best, strict=True)
        if text.strip()
    ]
    one, most, kl = (
        float(part.mean())
        for part in (scores, expected_value(scores, scores, asked.n), kl_measured(scores, asked.n))
    )
    print(
        f"{write(asked.out, made):,} demonstrations in {asked.out}; {len(best) - len(made):,} best answers were empty\n"
        f"mean score {one:.3f} of one answer, {most:.3f} of the best of {asked.n}\n"
        f"KL {kl_if_all_differ(asked.n):.2f} nats per response if no two answers scored alike, {kl:.2f} measured"
    )
    return 0


def _demonstration(prompt: Prompt, text: str, n: int) -> Demonstration:
    common = prompt.model_dump(include={"user", "category", "time", "source"})
    messages = (*prompt.messages, Message(role="assistant", content=text))
    return Demonstration(
        id=f"best-of-{n}-{prompt.id}",
        messages=messages,
        labeler=f"best-of-{n}",
        origin=prompt.origin,
        **common,
    )
