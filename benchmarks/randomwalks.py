"""SFT and PPO on the random walks of CarperAI/trlx: `python -m benchmarks.randomwalks --help`.

The score is a function (`alignloop.core.experience.Score`). With `--reward-model`, a reward model is
trained on ranked walks first and gives the score, while the true optimality is only measured.
"""

import argparse
import copy
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, logging

from alignloop.core import encoded_ranking, ppo, reward_metrics, reward_scoring, reward_training
from alignloop.core.experience import Score
from alignloop.core.generate import sample
from alignloop.core.kl_controller import FixedKl
from alignloop.core.lm_training import fit
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import Encoded, TokenRules
from alignloop.files import write_json
from alignloop.seeds import draws, seed_of
from benchmarks.plain_ppo import PLAIN
from benchmarks.randomwalks_report import picture, table
from benchmarks.walks import END, LONGEST, PAD, VOCABULARY, Task, make_task

RULES = TokenRules(allowed=torch.arange(VOCABULARY) != PAD, end=END, pad=PAD)
GREEDY = 1e-3  # a temperature this low draws the likeliest token
EVERY, ENOUGH = 80, 0.9  # rollouts between evaluations until 0.9 is reached; later five times as many
# trlx has 0: a start from which all responses fail then has no gradient, and is never learned
KL_COEF = 0.03
# for a reward model's scores, which vary ten times as much and are wrong far from its training data
KL_COEF_LEARNED = 1.0
CONFIG = replace(
    PLAIN,
    steps=70,
    prompts_per_step=40,
    epochs=4,
    learning_rate=3e-4,
    value_learning_rate=3e-4,
    final_learning_rate=0.1,
    temperature=1.4,  # of rollouts, so that rare paths are tried; evaluations are at 1
    max_new_tokens=LONGEST - 1,
    batch=512,
)
ROLLOUTS = CONFIG.prompts_per_step * CONFIG.responses_per_prompt  # of a step


def new_model(seed: int) -> PreTrainedModel:
    """trlx's model: GPT-2 of 6 layers, width 144, 1.5 million parameters."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=144,
        n_layer=6,
        n_head=12,
        n_positions=16,
        pad_token_id=PAD,
        eos_token_id=END,
        bos_token_id=None,
    )
    return GPT2LMHeadModel(config)


def train_sft(task: Task, seed: int) -> PreTrainedModel:
    """SFT on the walks; the loss is on the nodes after the start."""
    model = new_model(seed_of(seed, "model"))
    rows = [Encoded([*walk, END], [False] + [True] * len(walk)) for walk in task.walks]
    numbers = draws(seed, "sft")
    for _ in fit(
        model,
        rows,
        PAD,
        epochs=8,
        rows_per_step=32,
        learning_rate=1e-3,
        warmup=0.05,
        weight_decay=0.0,
        random=numbers,
    ):
        pass
    return model


def draw_responses(
    policy: PreTrainedModel, task: Task, per_start: int, temperature: float, seed: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Starts, each `per_start` times, and the policy's responses."""
    starts = [prompt for prompt in task.prompts for _ in range(per_start)]
    drawn = sample(
        policy,
        starts,
        RULES,
        temperature=temperature,
        max_new_tokens=LONGEST - 1,
        generator=torch.Generator().manual_seed(seed),
        batch=CONFIG.batch,
    )
    return starts, drawn.ids


def optimality(policy: PreTrainedModel, task: Task, seed: int, temperature: float = 1.0) -> float:
    """Mean optimality of 100 responses per start, or of the likeliest one at temperature GREEDY."""
    return float(
        task.optimality(
            *draw_responses(policy, task, 1 if temperature == GREEDY else 100, temperature, seed)
        ).mean()
    )


def learned_score(policy: PreTrainedModel, task: Task, seed: int) -> tuple[Score, dict[str, float]]:
    """The score of a reward model trained on 1,000 rankings of SFT's walks, and its accuracy.

    A ranking has 4 walks, ranked by optimality; the accuracy is on 200 other rankings.
    """
    starts, drawn = draw_responses(policy, task, 240, 1.0, seed_of(seed, "rankings"))
    scores = task.optimality(starts, drawn).tolist()
    rankings = []
    for first in range(0, len(starts), 4):
        better = sorted(set(scores[first : first + 4]), reverse=True)
        rows = [
            start + response
            for start, response in zip(starts[first : first + 4], drawn[first : first + 4], strict=True)
        ]
        rankings.append(
            encoded_ranking.EncodedRanking(
                rows, [better.index(score) + 1 for score in scores[first : first + 4]], shared=1
            )
        )
    order = draws(seed, "rankings").permutation(len(rankings)).tolist()
    learned, held_out = (
        [rankings[index] for index in order[:1000]],
        [rankings[index] for index in order[1000:]],
    )
    model = RewardModel.from_policy(policy, seed_of(seed, "reward"))
    numbers = draws(seed, "reward")
    how: dict[str, Any] = {"epochs": 2, "learning_rate": 3e-4, "warmup": 0.05, "weight_decay": 0.0}
    for _ in reward_training.train(model, learned, PAD, **how, rankings_per_step=8, random=numbers):
        pass
    reward_training.normalise(model, [[*walk, END] for walk in task.walks], PAD)
    right, pairs = reward_metrics.correct_pairs(
        [reward_scoring.score(model, row.rows, PAD) for row in held_out], [row.ranks for row in held_out]
    )

    def score(prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        return reward_scoring.score(
            model, [prompt + response for prompt, response in zip(prompts, responses, strict=True)], PAD
        )

    return score, {"reward_model_accuracy": right / pairs, "pairs": pairs}


def run(task: Task, seed: int, with_reward_model: bool) -> dict[str, Any]:
    """One seed: SFT, then PPO, with evaluations in between."""
    policy = train_sft(task, seed)
    numbers: dict[str, Any] = {
        "seed": seed,
        "sft": optimality(policy, task, seed),
        "sft_greedy": optimality(policy, task, seed, GREEDY),
    }
    score, about = learned_score(policy, task, seed) if with_reward_model else (task.optimality, {})
    value = RewardModel.from_policy(policy, seed_of(seed, "value"))
    # as in openai/lm-human-preferences: the head of a value model initialised from a policy is zero
    torch.nn.init.zeros_(value.head.weight)
    reference = copy.deepcopy(policy)
    curve, first = [], None
    seconds, tokens = 0.0, 0
    steps = ppo.Trainer(
        policy,
        reference,
        value,
        score=score,
        prompts=task.prompts,
        ptx=(),
        controller=FixedKl(KL_COEF_LEARNED if with_reward_model else KL_COEF),
        rules=RULES,
        config=CONFIG,
        random=draws(seed, "ppo"),
        generator=torch.Generator().manual_seed(seed_of(seed, "sampling")),
    )
    for step, took in timed(steps):
        seconds += took
        tokens += CONFIG.epochs * sum(map(len, step.rollouts.responses))
        rollouts = step.number * ROLLOUTS
        if rollouts % (EVERY if first is None else 5 * EVERY) == 0:
            curve.append(
                (
                    rollouts,
                    optimality(policy, task, seed_of(seed, "evaluate", str(rollouts))),
                    step.metrics["score"],
                )
            )
            if first is None and curve[-1][1] >= ENOUGH:
                first = rollouts
    return {
        **numbers,
        **about,
        "ppo": optimality(policy, task, seed),
        "ppo_greedy": optimality(policy, task, seed, GREEDY),
        "score": fmean(score(*draw_responses(policy, task, 100, 1.0, seed)).tolist()),
        "rollouts_until_0.9": first,
        "rollouts_per_cpu_second": CONFIG.steps * ROLLOUTS / seconds,
        "learner_tokens_per_cpu_second": tokens / seconds,
        "curve": curve,
    }


def timed(steps: Iterable[ppo.Step]) -> Iterator[tuple[ppo.Step, float]]:
    """Each step with its processor seconds, without the caller's time between steps."""
    going = iter(steps)
    while True:
        began = time.process_time()
        step = next(going, None)
        if step is None:
            return
        yield step, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.randomwalks", description="Random walks: SFT, then PPO, over seeds."
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--reward-model", action="store_true", help="learn the score from ranked walks")
    parser.add_argument(
        "--out",
        type=Path,
        help="a folder for a file of numbers a seed, which is not run again, and a picture",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    task, results = make_task(), []
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        file = arguments.out / f"seed-{seed}.json" if arguments.out else None
        results.append(
            json.loads(file.read_text())
            if file and file.exists()
            else run(task, seed, arguments.reward_model)
        )
        if file:
            write_json(file, results[-1])
        print(f"seed {seed}: {results[-1]['ppo']:.3f}", flush=True)
    print(table(results))
    if arguments.out:
        picture(results, arguments.out / "randomwalks.png")


if __name__ == "__main__":
    main()
