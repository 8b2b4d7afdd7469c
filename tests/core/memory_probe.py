"""A few steps of training on 21 million weights: `python -m tests.core.memory_probe CASE FOLDER`.

In a process of its own: prints the peak of its memory above its level after imports, and the estimate.
"""

import json
import sys
from pathlib import Path

import bitsandbytes  # noqa: F401 - as peft
import numpy as np
import peft  # noqa: F401 - so that its size is not measured
import torch
import transformers

from alignloop.core import dpo, lm_training, memory_estimate, parallel_passes, pass_limits, ppo
from alignloop.core.checkpoint_selection import BestWeights
from alignloop.core.dpo_config import DpoConfig
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.kl_controller import FixedKl
from alignloop.core.lora import add_adapters, merge_adapters
from alignloop.core.memory_estimate import DpoModels, PpoModels, Usage
from alignloop.core.model_shape import ModelShape, shape_of
from alignloop.core.models import load_policy, new_policy, save_policy, token_rules
from alignloop.core.pass_memory import PassSizes
from alignloop.core.ppo_config import PpoConfig
from alignloop.core.precision import freeze
from alignloop.core.ranked_logprobs import Reading
from alignloop.core.reward_model import RewardModel
from alignloop.core.sampler import OwnSampler
from alignloop.core.tokens import Encoded, train_tokenizer
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.scoring import scorer

PROMPT, RESPONSE, TOKENS = 40, 24, 320
RESPONSES, RANKINGS = 5, 8  # of a ranking, two of which fill a pass; of a step of DPO
ADAPTED = PpoModels(rank=8, reference="adapter", value="trunk")
# case -> (passes at a time, the models of PPO or DPO); None: SFT
CASES: dict[str, tuple[int, PpoModels | DpoModels | None]] = {
    "sft with a checkpoint": (1, None),
    "sft with two passes at a time": (2, None),
    "ppo": (1, PpoModels()),
    "ppo with adapters": (1, ADAPTED),
    "ppo with adapters of both models": (1, PpoModels(rank=8)),
    "ppo with adapters on four bits": (1, ADAPTED),
    "dpo": (1, DpoModels()),
    "dpo with adapters": (1, DpoModels(rank=8, adapter_reference=True)),
}
CONFIG = PpoConfig(
    steps=1,
    prompts_per_step=20,
    responses_per_prompt=1,
    minibatches=2,
    epochs=1,
    advantages="gae",
    learning_rate=1e-5,
    value_learning_rate=1e-5,
    warmup_steps=0,
    final_learning_rate=1.0,
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
    ema_decay=0.8,
    sampler_truncate=2.0,
    temperature=1.0,
    max_new_tokens=RESPONSE,
    batch=64,
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


def status(field: str) -> int:
    """A field of this process's memory in bytes; VmHWM is the peak since the process began."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def sft(folder: Path, shape: ModelShape, sizes: PassSizes) -> Usage:
    """Two steps of SFT, the best weights kept after the first, and perhaps a checkpoint written."""
    model, _ = load_policy(folder / "policy")
    random, best = np.random.default_rng(0), BestWeights(model)
    mask = [False] * PROMPT + [True] * RESPONSE
    rows = [Encoded(random.integers(5, 300, len(mask)).tolist(), mask) for _ in range(30)]
    schedule = {"epochs": 1, "learning_rate": 1e-4, "warmup": 0.1, "weight_decay": 0.0, "random": random}
    training = lm_training.fit(model, rows, 0, rows_per_step=15, **schedule)
    checkpoint = Checkpoint.fresh(folder, "sft")
    checkpoint.hold(choice=best, training=training)
    for step, _, _ in training:
        if step == 1:
            best.update(step, 1.0)
            if sizes.saves:
                checkpoint.save()
    return memory_estimate.lm_training("sft", shape, sizes, rows=15, keeps_best=True, trainable=shape.weights)


def ppo_step(folder: Path, shape: ModelShape, sizes: PassSizes, models: PpoModels) -> Usage:
    """A step of PPO with two minibatches: the second has Adam's moments."""
    policy, tokenizer = load_policy(folder / "policy", sizes.four_bits)
    reward = RewardModel.load(folder / "reward", sizes.four_bits)
    random = np.random.default_rng(0)
    own = models.value == "reward"
    value = RewardModel.load(folder / "reward", sizes.four_bits) if own else RewardModel.on_trunk_of(policy)
    adapted = add_adapters(policy, models.rank, 16, 0) if models.rank else None
    if own and models.rank:
        add_adapters(value.trunk, models.rank, 16, 1)
    reference = adapted or load_policy(folder / "policy")[0]
    trainer = ppo.Trainer(
        policy,
        reference,
        value,
        score=scorer(reward, tokenizer),
        prompts=[random.integers(5, 300, PROMPT).tolist() for _ in range(40)],
        ptx=[],
        controller=FixedKl(0.1),
        rules=token_rules(tokenizer, policy),
        config=CONFIG,
        random=random,
        generator=torch.Generator().manual_seed(0),
    )
    [_] = trainer
    if sizes.four_bits and adapted:
        save_policy(merge_adapters(adapted), tokenizer, folder / "merged")
    return memory_estimate.ppo(shape, sizes, models, rows=10, responses=20, batch=64)


def dpo_steps(folder: Path, shape: ModelShape, sizes: PassSizes, models: DpoModels) -> Usage:
    """Two steps of DPO, the best weights kept, and responses drawn and scored as a validation does."""
    policy, tokenizer = load_policy(folder / "policy")
    reward = RewardModel.load(folder / "reward").frozen()
    random = np.random.default_rng(0)
    adapted = add_adapters(policy, models.rank, 16, 0) if models.rank else None
    reference = adapted or freeze(load_policy(folder / "policy")[0])
    reading = Reading(token_rules(tokenizer, policy), 1.0, True)

    def ranking() -> EncodedRanking:
        prompt = random.integers(5, 300, PROMPT).tolist()
        drawn = random.integers(5, len(tokenizer), (RESPONSES, RESPONSE)).tolist()  # tokens that may be drawn
        rows = [prompt + response for response in drawn]
        return EncodedRanking(rows, [*range(1, RESPONSES + 1)], PROMPT)

    given = [ranking() for _ in range(2 * RANKINGS)]
    compared, best = dpo.compare(reference, given, reading, LEARNED, 512), BestWeights(policy)
    schedule = {"epochs": 1, "learning_rate": 1e-5, "warmup": 0.1, "weight_decay": 0.0, "random": random}
    training = dpo.train(policy, compared, reading, LEARNED, rankings_per_step=RANKINGS, **schedule)
    sampler, prompts = OwnSampler(), [each.rows[0][:PROMPT] for each in given]
    sampler.follow(policy)
    for step, _, _ in training:
        best.update(step, step)
        drawn = sampler.draw(
            prompts,
            reading.rules,
            temperature=1.0,
            max_new_tokens=RESPONSE,
            generator=torch.Generator().manual_seed(0),
            batch=64,
        )
        score = scorer(reward, tokenizer)
        dpo.drawn_rollouts(reference, score, prompts, drawn, reading=reading, beta=LEARNED.beta)
    count = {"rows": RANKINGS, "responses": RESPONSES, "drawn": len(prompts), "batch": 64}
    return memory_estimate.dpo(shape, sizes, models, **count)


def main(case: str, folder: Path) -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    parallel, models = CASES[case]
    torch.set_num_threads(1)
    parallel_passes.use(parallel)
    pass_limits.use(pass_limits.PassLimits(TOKENS, None))
    shape = shape_of(folder / "policy")
    assert shape
    sizes = PassSizes(
        TOKENS,
        None,
        parallel,
        row=PROMPT + RESPONSE,
        response=RESPONSE,
        four_bits="four bits" in case,
        saves="checkpoint" in case,
    )
    before = status("VmRSS")
    if models is None:
        usage = sft(folder, shape, sizes)
    elif isinstance(models, DpoModels):
        usage = dpo_steps(folder, shape, sizes, models)
    else:
        usage = ppo_step(folder, shape, sizes, models)
    parts = usage.on("cpu")
    print(json.dumps({"measured": status("VmHWM") - before, "estimated": parts.total, **parts.parts}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
