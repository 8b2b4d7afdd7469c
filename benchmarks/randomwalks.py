"""SFT and PPO of `alignloop.core`, unchanged, on the random walks of CarperAI/trlx: `python -m benchmarks.randomwalks --help`.

A function takes the reward model's place as the score (`alignloop.core.experience.Score`); with `--reward-model`, a reward model learns
from ranked walks first and is the score, while the true optimality is only measured.
"""

import argparse
import copy
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, logging

from alignloop.core import ppo, reward
from alignloop.core.experience import Score
from alignloop.core.generate import sample
from alignloop.core.kl_controller import FixedKl
from alignloop.core.lm_training import fit
from alignloop.core.ppo_config import PpoConfig
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import Encoded, TokenRules
from alignloop.files import write_json
from alignloop.seeds import draws, seed_of
from benchmarks.walks import END, LONGEST, PAD, VOCABULARY, Task, make_task

RULES = TokenRules(allowed=torch.arange(VOCABULARY) != PAD, end=END, pad=PAD)
GREEDY = 1e-3  # a temperature this low draws the likeliest token
EVERY, ENOUGH = 80, 0.9  # rollouts between evaluations until 0.9 is reached; five times as many after that
KL_COEF = (
    0.03  # the peer has 0: a start whose answers all fail then teaches nothing, and is never found again
)
KL_COEF_LEARNED = 1.0  # against a reward model's scores, which spread ten times as far and are wrong far from what it learned from
CONFIG = PpoConfig(
    steps=70,
    prompts_per_step=40,
    responses_per_prompt=1,
    minibatches=1,
    epochs=4,
    advantages="gae",
    learning_rate=3e-4,
    value_learning_rate=3e-4,
    warmup_steps=0,
    final_learning_rate=0.1,
    value_warmup_steps=0,
    adam_betas=(0.9, 0.95),
    adam_epsilon=1e-5,
    gamma=1.0,
    lam=0.95,
    clip=0.2,
    value_clip=0.2,
    value_coef=1.0,
    max_grad_norm=1.0,
    whiten_rewards=False,
    missing_eos_score=None,
    ptx_coef=0.0,
    ptx_documents_per_step=0,
    ema_decay=0.0,
    precision="fp32",
    temperature=1.4,  # of rollouts: ways that are seldom taken are tried; answers are evaluated at 1
    max_new_tokens=LONGEST - 1,
    batch=512,
)
ROLLOUTS = CONFIG.prompts_per_step * CONFIG.responses_per_prompt  # of a step


def new_model(seed: int) -> PreTrainedModel:
    """The peer's model: GPT-2 of 6 layers, width 144, 1.5 million parameters."""
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


def imitate(task: Task, seed: int) -> PreTrainedModel:
    """SFT on the walks; the loss is on what follows the start."""
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


def answers(
    policy: PreTrainedModel, task: Task, per_start: int, temperature: float, seed: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Starts, each `per_start` times, and the policy's answers."""
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
    """Mean over 100 answers per start, or over the likeliest one at temperature GREEDY."""
    return float(
        task.optimality(*answers(policy, task, 1 if temperature == GREEDY else 100, temperature, seed)).mean()
    )


def learned_score(policy: PreTrainedModel, task: Task, seed: int) -> tuple[Score, dict[str, float]]:
    """A reward model of 1,000 rankings of 4 walks each that the SFT model drew, ranked by optimality; and its accuracy on 200 more."""
    starts, drawn = answers(policy, task, 240, 1.0, seed_of(seed, "rankings"))
    scores = task.optimality(starts, drawn).tolist()
    rankings = []
    for first in range(0, len(starts), 4):
        better = sorted(set(scores[first : first + 4]), reverse=True)
        rows = [
            start + answer
            for start, answer in zip(starts[first : first + 4], drawn[first : first + 4], strict=True)
        ]
        rankings.append(
            reward.EncodedRanking(
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
    for _ in reward.train(model, learned, PAD, **how, rankings_per_step=8, random=numbers):
        pass
    reward.normalise(model, [[*walk, END] for walk in task.walks], PAD)
    right, pairs = reward.correct_pairs(
        [reward.score(model, row.rows, PAD) for row in held_out], [row.ranks for row in held_out]
    )

    def score(prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        return reward.score(
            model, [prompt + response for prompt, response in zip(prompts, responses, strict=True)], PAD
        )

    return score, {"reward_model_accuracy": right / pairs, "pairs": pairs}


def run(task: Task, seed: int, with_reward_model: bool) -> dict[str, Any]:
    """One seed: SFT, then PPO, measured on the way."""
    policy = imitate(task, seed)
    numbers: dict[str, Any] = {
        "seed": seed,
        "sft": optimality(policy, task, seed),
        "sft_greedy": optimality(policy, task, seed, GREEDY),
    }
    score, about = learned_score(policy, task, seed) if with_reward_model else (task.optimality, {})
    value = RewardModel.from_policy(policy, seed_of(seed, "value"))
    torch.nn.init.zeros_(
        value.head.weight
    )  # as in openai/lm-human-preferences: a value model that starts from a policy starts at zero
    reference, curve, first, seconds, tokens = copy.deepcopy(policy), [], None, 0.0, 0
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
        "score": fmean(score(*answers(policy, task, 100, 1.0, seed)).tolist()),
        "rollouts_until_0.9": first,
        "rollouts_per_cpu_second": CONFIG.steps * ROLLOUTS / seconds,
        "learner_tokens_per_cpu_second": tokens / seconds,
        "curve": curve,
    }


def timed(steps: Iterable[ppo.Step]) -> Iterator[tuple[ppo.Step, float]]:
    """Each step with the seconds of processor time it took on one thread, without what the caller does between steps."""
    going = iter(steps)
    while True:
        began = time.process_time()
        step = next(going, None)
        if step is None:
            return
        yield step, time.process_time() - began


COLUMNS = {  # of a seed's numbers: heading and form
    "sft": ("after SFT", ".3f"),
    "sft_greedy": ("greedy", ".3f"),
    "ppo": ("after PPO", ".3f"),
    "ppo_greedy": ("greedy", ".3f"),
    "rollouts_until_0.9": ("rollouts until 0.9", ".0f"),
    "rollouts_per_cpu_second": ("rollouts a second", ".1f"),
    "learner_tokens_per_cpu_second": ("learner tokens a second", ".0f"),
    "reward_model_accuracy": ("reward model's accuracy", ".3f"),
    "score": ("its score", ".2f"),
}


def table(results: list[dict[str, Any]]) -> str:
    """A row a seed, and their mean; a second is one of a core's own."""
    columns = [
        name
        for name in COLUMNS
        if name in results[0] and (name != "score" or "reward_model_accuracy" in results[0])
    ]
    lines = [
        "| seed | " + " | ".join(COLUMNS[name][0] for name in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    rows = [(str(result["seed"]), result) for result in results]
    known = {name: [result[name] for result in results if result[name] is not None] for name in columns}
    mean = {name: fmean(values) if len(values) == len(results) else None for name, values in known.items()}
    for name, row in [*rows, ("mean", mean)]:
        cells = (
            "never" if row[column] is None else format(row[column], COLUMNS[column][1]) for column in columns
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def picture(results: list[dict[str, Any]], file: Path) -> None:
    """Optimality over rollouts, a line a seed, with the levels to reach."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for result in results:
        axes.plot(
            *zip(
                *[(rollouts, value) for rollouts, value, _ in [(0, result["sft"], 0), *result["curve"]]],
                strict=True,
            ),
            linewidth=1.2,
        )
    axes.axhline(0.96, color="#9aa5b1", linewidth=0.8)
    axes.axhline(0.9, color="#9aa5b1", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="training rollouts",
        ylabel="optimality, 100 answers per start",
        title="Random walks, one line a seed",
        ylim=(0.2, 1),
    )
    figure.savefig(file, dpi=110, metadata={"Software": None})


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
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    task, results = make_task(), []
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        file = given.out / f"seed-{seed}.json" if given.out else None
        results.append(
            json.loads(file.read_text()) if file and file.exists() else run(task, seed, given.reward_model)
        )
        if file:
            write_json(file, results[-1])
        print(f"seed {seed}: {results[-1]['ppo']:.3f}", flush=True)
    print(table(results))
    if given.out:
        picture(results, given.out / "randomwalks.png")


if __name__ == "__main__":
    main()
