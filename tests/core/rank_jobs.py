"""What several ranks do in the tests, and how they are started: every training, and what is read from models.

A job starts from fixed seeds and returns what it made; the same jobs run in one process for comparison.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignloop.core import dpo, lm_training, parallel_passes, pass_limits, precision, reward_training
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.generate import sample
from alignloop.core.gradient_checkpointing import recompute_activations
from alignloop.core.guards import Guard, GuardMonitor
from alignloop.core.kl_controller import AdaptiveKl
from alignloop.core.logprobs import response_logprobs
from alignloop.core.lora import add_adapters
from alignloop.core.models import new_policy
from alignloop.core.precision import freeze
from alignloop.core.ranked_logprobs import Reading
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score, score_rankings
from alignloop.core.tokens import Encoded, TokenRules, encode_prompt, end_of, pad_of, train_tokenizer
from alignloop.core.train_state import whole
from tests.core.bandit import CONFIG, Run
from tests.core.conftest import SENTENCES
from tests.core.test_dpo import CONFIG as DPO
from tests.scoring.rank_job import other_scores
from tests.tools.rank_job import tool_turns

Found = dict[str, Any]
SCHEDULE: dict[str, Any] = {"epochs": 2, "learning_rate": 3e-3, "warmup": 0.0, "weight_decay": 0.01}
TOKENIZER = train_tokenizer(SENTENCES * 3, 320)
LETTERS = [TOKENIZER.encode(letter)[0] for letter in "abcd"]
ROWS = [Encoded([5 + (n * 7 + place) % 80 for place in range(6 + n)], [True] * (6 + n)) for n in range(9)]
RANKINGS = [
    EncodedRanking([[7, 8, 9 + n, *range(20, 21 + place), 1] for place in range(3)], [1, 2, 2], shared=3)
    for n in range(7)
]


def policy() -> PreTrainedModel:
    model = new_policy(TOKENIZER, layers=2, width=32, heads=4, context=64, seed=0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    return model.eval()


def rules() -> TokenRules:
    few = torch.zeros(len(TOKENIZER), dtype=torch.bool)
    few[[*LETTERS, end_of(TOKENIZER)]] = True
    return TokenRules(few, end_of(TOKENIZER), pad_of(TOKENIZER))


def rules_of_all() -> TokenRules:
    allowed = torch.ones(len(TOKENIZER), dtype=torch.bool)
    return TokenRules(allowed, end_of(TOKENIZER), pad_of(TOKENIZER))


def prompts() -> list[list[int]]:
    talks = [[{"role": "user", "content": SENTENCES[n % 4][: 3 + 4 * n]}] for n in range(8)]
    return [encode_prompt(TOKENIZER, talk) for talk in talks]


def weights(*models: nn.Module | None) -> list[Tensor]:
    return [whole(weight.detach()).clone() for model in models if model for weight in model.parameters()]


def language_model(packing: bool) -> Found:
    model = policy()
    random = np.random.default_rng(0)
    training = lm_training.fit(
        model,
        ROWS,
        0,
        rows_per_step=4,
        packing=packing,
        random=random,
        mixed=ROWS[:2],
        mixed_share=0.3,
        **SCHEDULE,
    )
    metrics = [numbers for _, _, numbers in training]
    return {"weights": weights(model), "metrics": metrics, "loss": lm_training.mean_loss(model, ROWS, 0)}


def head_in_parts() -> Found:
    """Few tokens have logits at a time, and they are computed again in the backward pass."""
    before = pass_limits.current()
    pass_limits.use(pass_limits.PassLimits(before.tokens, 8))
    try:
        return language_model(False)
    finally:
        pass_limits.use(before)


def reward_model(packed: bool) -> Found:
    with patch.object(reward_training, "packs", lambda _: packed):
        return _reward_model()


def _reward_model() -> Found:
    model = RewardModel.from_policy(policy(), seed=1)
    random = np.random.default_rng(0)
    schedule: Any = {**SCHEDULE, "weight_decay": 0.0}
    training = reward_training.train(model, RANKINGS, 0, rankings_per_step=3, random=random, **schedule)
    metrics = [numbers for _, _, numbers in training]
    rows = [row for ranking in RANKINGS for row in ranking.rows]
    _, scale = reward_training.normalise(model, rows, 0, gain=True)
    # the head's bias is in no pair's loss: it is compared in the normalised scores
    scores = [score(model, rows, 0), *score_rankings(model, RANKINGS, 0)]
    return {"weights": [*weights(model.trunk), *scores], "metrics": metrics, "scale": scale}


def responses() -> Found:
    model, asked = policy(), prompts() * 9
    drawn = sample(
        model,
        asked,
        rules(),
        temperature=1.0,
        max_new_tokens=6,
        generator=torch.Generator().manual_seed(3),
        batch=16,
    )
    sums = response_logprobs(model, asked, drawn.ids, rules(), 1.0)
    return {"responses": drawn.ids, "weights": [sums, *drawn.logprobs]}


def adapters(run: Run) -> None:
    run.reference = add_adapters(run.policy, rank=4, alpha=8, seed=0)
    add_adapters(run.value.trunk, rank=4, alpha=8, seed=1)


def recomputed(run: Run) -> None:
    recompute_activations(run.policy)
    recompute_activations(run.value.trunk)


def in_bf16() -> Found:
    """Passes in bf16, against a reference that keeps its linear layers in bf16.

    The weights are left out: Adam makes a whole step of a gradient that is rounding alone.
    """
    precision.use("bf16")
    try:
        found = ppo(lambda run: freeze(run.reference) and None, steps=1, minibatches=1, epochs=1)
        return {name: found[name] for name in found if name != "weights"}
    finally:
        precision.use("fp32")


def one_trunk(run: Run) -> None:
    run.value = RewardModel.on_trunk_of(run.policy)


def everything(run: Run) -> None:
    """Pretraining gradients, adaptive KL, guards, of which one stops, and the average of weights."""
    run.ptx = ROWS
    run.controller = AdaptiveKl(0.05, 0.5, 100)
    run.guards = GuardMonitor({"max_kl_per_response_nats": Guard(0.8, "stop")}, 2)


def ppo(prepare: Callable[[Run], None], **changes: Any) -> Found:
    run = Run(policy(), prompts(), rules(), LETTERS)
    prepare(run)
    trainer = run.trainer(
        replace(CONFIG, **{"steps": 3, "ema_decay": 0.5, **changes}),
        np.random.default_rng(0),
        torch.Generator().manual_seed(0),
    )
    steps = list(trainer)
    return {
        "weights": weights(run.policy, run.value if "advantages" not in changes else None),
        "metrics": [step.metrics for step in steps],
        "responses": [step.rollouts.responses for step in steps],
        "coefficient": run.controller.coef,
        "violations": [[each.guard for each in step.violations] for step in steps],
    }


def preferences(**changes: Any) -> Found:
    """A training on rankings, with pretraining text, and what it reads without gradients."""
    config = replace(DPO, ptx_coef=0.5, **changes)
    model, reading = policy(), Reading(rules_of_all(), 1.0, packed=True)
    compared = dpo.compare(policy(), RANKINGS, reading, config, 64)
    random = np.random.default_rng(0)
    training = dpo.train(
        model, compared, reading, config, rankings_per_step=3, ptx=ROWS, random=random, **SCHEDULE
    )
    metrics = [numbers for _, _, numbers in training]
    return {
        "weights": weights(model),
        "metrics": [*metrics, dpo.measure(model, compared, reading, config)],
        "reference": [each.reference for each in compared],
    }


JOBS: dict[str, Callable[[], Found]] = {
    "dpo": lambda: preferences(),
    "kto": lambda: preferences(loss="kto"),
    "language model": lambda: language_model(False),
    "language model, packed": lambda: language_model(True),
    "language model, head in parts": head_in_parts,
    "reward model": lambda: reward_model(True),
    "reward model, rows apart": lambda: reward_model(False),
    "responses": responses,
    "other scores": other_scores,
    "responses with a tool": lambda: tool_turns(
        new_policy(TOKENIZER, layers=1, width=32, heads=2, context=300, seed=0), TOKENIZER, prompts(), rules()
    ),
    "ppo, everything": lambda: ppo(
        everything, ptx_coef=1.0, ptx_documents_per_step=4, epochs=2, learning_rate=1e-2, steps=4
    ),
    "ppo, one trunk": lambda: ppo(one_trunk, value_coef=0.1),
    "ppo, recomputed activations": lambda: ppo(recomputed, steps=2),
    "ppo, adapters": lambda: ppo(adapters, learning_rate=1e-2),
    "ppo, bf16": in_bf16,
    "ppo, rloo": lambda: ppo(
        lambda run: None, advantages="rloo", responses_per_prompt=2, prompts_per_step=16
    ),
    "ppo, grpo": lambda: ppo(lambda run: None, advantages="grpo", responses_per_prompt=4, prompts_per_step=8),
}


def run_jobs(jobs: dict[str, Callable[[], Found]] = JOBS) -> dict[str, Found]:
    return {name: job() for name, job in jobs.items()}


def _be_rank(
    rank: int, size: int, folder: Path, work: Callable[[], Any], shard: str, hosts: Sequence[str]
) -> None:
    from alignloop.core import devices, ranks, sharding

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        host = hosts[rank] if hosts else ""
        together = ranks.join(rank, size, folder / "meeting", host, in_turns=shard != "none")
        parallel_passes.deal_among(together)
        if shard != "none":
            devices.use_shards(sharding.Shards(together, cast("sharding.Over", shard), "cpu"))
        torch.save(work(), folder / f"found-{rank}")
        together.meet()
        ranks.leave()
    except BaseException:
        (folder / f"failed-{rank}").write_text(traceback.format_exc())
        raise


def on_ranks(
    size: int,
    folder: Path,
    work: Callable[[], Any],
    *,
    shard: str = "none",
    hosts: Sequence[str] = (),
    seconds: float = 120,
) -> list[Any]:
    """What `work` returns on each of `size` ranks, each a process of its own."""
    folder.mkdir(parents=True)
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.core.rank_jobs", "alignloop.core.sharding"])
    processes = [
        context.Process(target=_be_rank, args=(rank, size, folder, work, shard, hosts))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(seconds)
        process.kill()
    failures = [file.read_text() for file in sorted(folder.glob("failed-*"))]
    assert not failures, "\n".join(failures)
    assert [process.exitcode for process in processes] == [0] * size
    return [torch.load(folder / f"found-{rank}") for rank in range(size)]
