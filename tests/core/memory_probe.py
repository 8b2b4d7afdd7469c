"""A few steps of a stage on 21 million weights: `python -m tests.core.memory_probe CASE FOLDER`.

In a process of its own: prints the peak of its memory above its level after imports, and the estimate.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from alignloop.checks.machine_memory import resident
from alignloop.core import (
    dpo,
    lm_training,
    memory_estimate,
    parallel_passes,
    pass_limits,
    ppo,
    precision,
    reward_training,
)
from alignloop.core.checkpoint_selection import BestWeights
from alignloop.core.dpo_config import DpoConfig
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.generate import sample
from alignloop.core.gradient_checkpointing import recompute_activations
from alignloop.core.kl_controller import FixedKl
from alignloop.core.lora import add_adapters, merge_adapters
from alignloop.core.memory_estimate import DpoModels, PpoModels, Usage
from alignloop.core.model_shape import ModelShape, shape_of
from alignloop.core.models import load_policy, new_policy, save_policy, token_rules
from alignloop.core.pass_memory import PassSizes
from alignloop.core.precision import freeze
from alignloop.core.ranked_logprobs import Reading
from alignloop.core.reward_model import RewardModel
from alignloop.core.sampler import OwnSampler
from alignloop.core.tokens import Encoded, train_tokenizer
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.scoring import scorer
from benchmarks.plain_ppo import PLAIN

PROMPT, RESPONSE, TOKENS = 40, 24, 320
RESPONSES, RANKINGS = 5, 8  # of a ranking, two of which fill a pass; of a step
DRAWN = 128  # rows that are decoded at a time where decoding is what counts
RANK = 8
WHOLE = PpoModels()
ADAPTED = PpoModels(rank=RANK, reference="adapter", value="trunk")
SCHEDULE: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-4, "warmup": 0.1, "weight_decay": 0.0}


@dataclass(frozen=True)
class Case:
    """What a stage does: `rank` of adapters, PPO's models, passes at a time and what passes save."""

    stage: "Callable[[Path, ModelShape, PassSizes, Case], Usage]"
    parallel: int = 1
    rank: int | None = None
    models: PpoModels | DpoModels = WHOLE
    bf16: bool = False
    checkpointing: bool = False
    head_tokens: int | None = None
    four_bits: bool = False
    saves: bool = False
    prompts: int = 20  # of a step of PPO, in two minibatches

    @property
    def sizes(self) -> PassSizes:
        """The passes of the stage."""
        sizes: dict[str, Any] = {"row": PROMPT + RESPONSE, "response": RESPONSE}
        sizes |= {"bf16": self.bf16, "checkpointing": self.checkpointing, "four_bits": self.four_bits}
        return PassSizes(TOKENS, self.head_tokens, self.parallel, **sizes, saves=self.saves)


CONFIG = replace(
    PLAIN,
    minibatches=2,
    learning_rate=1e-5,
    value_learning_rate=1e-5,
    ema_decay=0.8,
    max_new_tokens=RESPONSE,
)


LEARNED = DpoConfig(
    loss="dpo",
    beta=0.1,
    label_smoothing=0.0,
    length_normalised=False,
    ties="skip",
    margin=0.0,
    desirable_weight=1.0,
    undesirable_weight=1.0,
    ptx_coef=0.0,
    ptx_documents_per_step=0,
)


def make(folder: Path) -> None:
    """Write a policy and its reward model."""
    tokenizer = train_tokenizer(["a door that is green"] * 3, 320)
    model = new_policy(tokenizer, layers=6, width=512, heads=8, context=512, seed=0)
    model.resize_token_embeddings(4096)
    save_policy(model, tokenizer, folder / "policy")
    RewardModel.from_policy(model, 0).save(folder / "reward", tokenizer)


def sft(folder: Path, shape: ModelShape, sizes: PassSizes, case: Case) -> Usage:
    """Two steps of SFT, the best weights kept after the first, and perhaps a checkpoint written."""
    model, _ = load_policy(folder / "policy")
    trainable = shape.weights
    if case.rank:
        add_adapters(model, case.rank, 16, 0)
        trainable = shape.adapters(case.rank)
    random, best = np.random.default_rng(0), BestWeights(model)
    mask = [False] * PROMPT + [True] * RESPONSE
    rows = [Encoded(random.integers(5, 300, len(mask)).tolist(), mask) for _ in range(30)]
    training = lm_training.fit(model, rows, 0, rows_per_step=15, random=random, **SCHEDULE)
    checkpoint = Checkpoint.fresh(folder, "sft")
    checkpoint.hold(choice=best, training=training)
    for step, _, _ in training:
        if step == 1:
            best.update(step, 1.0)
            if sizes.saves:
                checkpoint.save()
    return memory_estimate.lm_training("sft", shape, sizes, rows=15, keeps_best=True, trainable=trainable)


def reward(folder: Path, shape: ModelShape, sizes: PassSizes, case: Case) -> Usage:
    """Two steps on rankings, beside the SFT model that the reward model was made from."""
    policy, _ = load_policy(folder / "policy")
    model, random = RewardModel.from_policy(policy, 0), np.random.default_rng(0)
    given = rankings(random, 300)
    training = reward_training.train(model, given, 0, rankings_per_step=RANKINGS, random=random, **SCHEDULE)
    assert len([*training]) == 2
    count: dict[str, Any] = {"rows": RANKINGS, "responses": RESPONSES}
    return memory_estimate.reward_training(shape, sizes, **count, trainable=shape.trunk)


def rankings(random: np.random.Generator, tokens: int) -> list[EncodedRanking]:
    """Rankings of two steps, of the first so many tokens."""
    found: list[EncodedRanking] = []
    for _ in range(2 * RANKINGS):
        prompt = random.integers(5, 300, PROMPT).tolist()
        rows = [prompt + row for row in random.integers(5, tokens, (RESPONSES, RESPONSE)).tolist()]
        found.append(EncodedRanking(rows, [*range(1, RESPONSES + 1)], PROMPT))
    return found


def ppo_step(folder: Path, shape: ModelShape, sizes: PassSizes, case: Case) -> Usage:
    """A step of PPO with two minibatches: the second has Adam's moments."""
    models, small = case.models, sizes.four_bits
    assert isinstance(models, PpoModels)
    policy, tokenizer = load_policy(folder / "policy", small)
    reward = RewardModel.load(folder / "reward", small).frozen()
    random = np.random.default_rng(0)
    own = models.value == "reward"
    value = RewardModel.load(folder / "reward", small) if own else RewardModel.on_trunk_of(policy)
    adapted = add_adapters(policy, models.rank, 16, 0) if models.rank else None
    if own and models.rank:
        add_adapters(value.trunk, models.rank, 16, 1)
    reference = adapted or freeze(load_policy(folder / "policy")[0])
    if sizes.checkpointing:
        for model in {policy, value.trunk} if own else {policy}:
            recompute_activations(model)
    trainer = ppo.Trainer(
        policy,
        reference,
        value,
        score=scorer(reward, tokenizer),
        prompts=[random.integers(5, 300, PROMPT).tolist() for _ in range(40)],
        ptx=[],
        controller=FixedKl(0.1),
        rules=token_rules(tokenizer, policy),
        config=replace(CONFIG, prompts_per_step=case.prompts),
        random=random,
        generator=torch.Generator().manual_seed(0),
    )
    [_] = trainer
    if small and adapted:
        save_policy(merge_adapters(adapted), tokenizer, folder / "merged")
    return memory_estimate.ppo(shape, sizes, models, rows=case.prompts // 2, responses=case.prompts, batch=64)


def dpo_steps(folder: Path, shape: ModelShape, sizes: PassSizes, case: Case) -> Usage:
    """Two steps of DPO, the best weights kept, and responses drawn and scored as a validation does."""
    models = case.models
    assert isinstance(models, DpoModels)
    policy, tokenizer = load_policy(folder / "policy")
    reward = RewardModel.load(folder / "reward").frozen()
    random = np.random.default_rng(0)
    adapted = add_adapters(policy, models.rank, 16, 0) if models.rank else None
    reference = adapted or freeze(load_policy(folder / "policy")[0])
    reading = Reading(token_rules(tokenizer, policy), 1.0, True)

    given = rankings(random, len(tokenizer))  # tokens that may be drawn
    compared, best = dpo.compare(reference, given, reading, LEARNED, 512), BestWeights(policy)
    plan: dict[str, Any] = {"rankings_per_step": RANKINGS, "random": random, **SCHEDULE}
    training = dpo.train(policy, compared, reading, LEARNED, **plan)
    sampler, prompts = OwnSampler(), [each.rows[0][:PROMPT] for each in given]
    sampler.follow(policy)
    for step, _, _ in training:
        best.update(step, step)
        chances: dict[str, Any] = {"temperature": 1.0, "generator": torch.Generator().manual_seed(0)}
        drawn = sampler.draw(prompts, reading.rules, **chances, max_new_tokens=RESPONSE, batch=64)
        score = scorer(reward, tokenizer)
        dpo.drawn_rollouts(reference, score, prompts, drawn, reading=reading, beta=LEARNED.beta)
    count = {"rows": RANKINGS, "responses": RESPONSES, "drawn": len(prompts), "batch": 64}
    return memory_estimate.dpo(shape, sizes, models, **count)


def drawing(folder: Path, shape: ModelShape, sizes: PassSizes, case: Case) -> Usage:
    """Responses of one policy to many prompts, as the stage `sample` draws them."""
    policy, tokenizer = load_policy(folder / "policy")
    random = np.random.default_rng(0)
    sample(
        policy,
        [random.integers(5, 300, PROMPT).tolist() for _ in range(DRAWN)],
        token_rules(tokenizer, policy),
        temperature=1.0,
        max_new_tokens=RESPONSE,
        generator=torch.Generator().manual_seed(0),
        batch=DRAWN,
    )
    return memory_estimate.drawing("sample", shape, sizes, policies=1, scorers=0, rows=DRAWN, batch=DRAWN)


CASES = {
    "sft with a checkpoint": Case(sft, saves=True),
    "sft with two passes at a time": Case(sft, parallel=2),
    "sft by adapters": Case(sft, rank=RANK),
    "reward model of five responses": Case(reward),
    "ppo": Case(ppo_step),
    "ppo in bf16": Case(ppo_step, bf16=True),
    "ppo with gradient checkpointing and a head in parts": Case(ppo_step, checkpointing=True, head_tokens=32),
    "ppo with adapters": Case(ppo_step, models=ADAPTED),
    "ppo with adapters of both models": Case(ppo_step, models=PpoModels(rank=RANK)),
    "ppo with adapters on four bits": Case(ppo_step, models=ADAPTED, four_bits=True),
    "dpo": Case(dpo_steps, models=DpoModels()),
    "dpo with adapters": Case(dpo_steps, models=DpoModels(rank=RANK, adapter_reference=True)),
    "decoding of many rows": Case(drawing),
}


def main(case: Case, folder: Path) -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if case.rank or case.models.rank or case.four_bits:
        import bitsandbytes  # noqa: F401 - as peft
        import peft  # noqa: F401 - so that its size is not measured
    torch.set_num_threads(1)
    parallel_passes.use(case.parallel)
    pass_limits.use(pass_limits.PassLimits(TOKENS, case.head_tokens))
    precision.use("bf16" if case.bf16 else "fp32")
    shape = shape_of(folder / "policy")
    assert shape
    before = resident("VmRSS") or 0
    usage = case.stage(folder, shape, case.sizes, case).on("cpu")
    measured = (resident("VmHWM") or 0) - before
    print(json.dumps({"measured": measured, "estimated": usage.total, **usage.parts}))


if __name__ == "__main__":
    main(CASES[sys.argv[1]], Path(sys.argv[2]))
