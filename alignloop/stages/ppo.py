"""PPO of a round: raise the reward model's score, stay near SFT, keep the language."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core import ppo as algorithm
from alignloop.core.checkpoint_folder import CheckpointError
from alignloop.core.guards import Guard, GuardMonitor
from alignloop.core.kl_controller import AdaptiveKl, FixedKl
from alignloop.core.lora import add_adapters, merge_adapters
from alignloop.core.memory import recompute_activations
from alignloop.core.models import context_of, load_policy, save_policy, token_rules
from alignloop.core.ppo_config import PpoConfig
from alignloop.core.reward_model import HELD_OUT, RewardModel
from alignloop.core.tokens import decode
from alignloop.data.record_files import read, write
from alignloop.files import replacing, write_json
from alignloop.params import Params
from alignloop.progress import Progress
from alignloop.records import Document, Prompt, Rollout
from alignloop.seeds import draws, seed_of
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.curves import write_curve
from alignloop.training.encoding import document_rows, prompt_rows
from alignloop.training.resumable_loop import points, recalled
from alignloop.training.scoring import scorer


def ppo(
    params: Params,
    checkpoint: Checkpoint,
    round: str,
    start: Path,
    reward: Path,
    sft: Path,
    prompts: Path,
    corpus: Path,
    out: Path,
    rollouts: Path,
    metrics: Path,
    plots: Path,
) -> Iterator[Progress]:
    """Train the policy against the round's reward model."""
    plan = params.ppo
    policy, tokenizer = load_policy(start)
    model, value = RewardModel.load(reward), value_model(params, reward, policy)
    adapted = (
        add_adapters(policy, **plan.lora.model_dump(), seed=seed_of(params.seed, "ppo", round, "adapters"))
        if plan.lora
        else None
    )
    reference = adapted if adapted and plan.reference == "adapter" else load_policy(sft)[0]
    if plan.gradient_checkpointing:
        recompute_activations(policy)
        if value and plan.value == "reward":
            recompute_activations(value.trunk)
    context = context_of(policy)
    rows, too_long = prompt_rows(
        tokenizer, read(prompts / "train.jsonl", Prompt), context - params.decoding.max_new_tokens
    )
    ptx = document_rows(tokenizer, read(corpus / "train.jsonl", Document), context) if plan.ptx_coef else []
    prompt_of = {tuple(ids): prompt.id for prompt, ids in rows}
    guarding = watch(params, reward, tokenizer)
    trainer = algorithm.Trainer(
        policy,
        reference,
        value,
        score=scorer(model, tokenizer),
        prompts=[ids for _, ids in rows],
        ptx=ptx,
        controller=controller(params),
        rules=token_rules(tokenizer, policy),
        config=settings(params),
        random=draws(params.seed, "ppo", round),
        generator=torch.Generator().manual_seed(seed_of(params.seed, "ppo", round, "sampling")),
        guards=guarding,
        names=[prompt.id for prompt, _ in rows],
    )
    journal, kept = checkpoint.journal("curve"), checkpoint.journal("rollouts")
    checkpoint.hold(trainer=trainer)
    yield from recalled(journal, plan.steps)
    for step in trainer:
        journal.add(json.dumps([step.number, step.metrics]))
        if step.number % plan.keep_rollouts_every == 0:
            kept.add(*(record.model_dump_json() for record in records(step, round, tokenizer, prompt_of)))
        fresh = [
            trip
            for trip in step.violations
            if guarding and guarding.first_violations[trip.guard] == step.number
        ]
        yield Progress(
            step.number,
            plan.steps,
            step.metrics,
            "; ".join(f"{trip.strength}: {trip.message}" for trip in fresh),
        )
        checkpoint.after(step.number, last=trainer.stopped or step.number == plan.steps)
    with replacing(out) as part:
        save_policy(merge_adapters(adapted) if adapted else policy, tokenizer, part)
    write(rollouts / "rollouts.jsonl", (Rollout.model_validate_json(line) for line in kept))
    curve = points(journal)
    last = [numbers for _, numbers in curve[-5:]]
    means = {
        f"final_{name}": sum(numbers[name] for numbers in last) / len(last)
        for name in ("score", "kl", "length", "ended", "entropy")
    }
    drawn = len(curve) * plan.prompts_per_step * plan.responses_per_prompt
    trips = {"first_step_beyond": guarding.first_violations} if guarding and guarding.first_violations else {}
    write_json(metrics, {"rollouts": drawn, "too_long": too_long, **means, **trips})
    write_curve(plots, curve)


def value_model(params: Params, reward: Path, policy: PreTrainedModel) -> RewardModel | None:
    """The value model that params.yaml asks for, if advantages need one."""
    if params.ppo.advantages != "gae":
        return None
    return RewardModel.load(reward) if params.ppo.value == "reward" else RewardModel.on_trunk_of(policy)


def controller(params: Params) -> FixedKl | AdaptiveKl:
    """The KL coefficient's controller that params.yaml asks for."""
    kl = params.ppo.kl
    if kl.target_kl_per_response_nats is None:
        return FixedKl(kl.coef)
    return AdaptiveKl(kl.coef, kl.target_kl_per_response_nats, kl.horizon_responses)


def watch(params: Params, reward: Path, tokenizer: PreTrainedTokenizerBase) -> GuardMonitor | None:
    """The guards that params.yaml asks for, with the held-out reward model where one of them needs it."""
    guards = {name: Guard(guard.limit, guard.strength) for name, guard in params.ppo.guards.items()}
    if "max_held_out_fall" not in guards:
        return GuardMonitor(guards, params.ppo.guard_window_steps) if guards else None
    if not (reward / HELD_OUT).is_dir():
        raise CheckpointError(
            f"{reward / HELD_OUT}: ppo.guards.max_held_out_fall needs this reward model; set reward.held_out to true"
        )
    return GuardMonitor(
        guards, params.ppo.guard_window_steps, scorer(RewardModel.load(reward / HELD_OUT), tokenizer)
    )


def settings(params: Params) -> PpoConfig:
    """PPO's numbers with those of decoding."""
    apart = {
        "value",
        "kl",
        "guards",
        "guard_window_steps",
        "reference",
        "lora",
        "gradient_checkpointing",
        "keep_rollouts_every",
    }
    numbers = params.ppo.model_dump(exclude=apart)
    return PpoConfig(**numbers, **params.decoding.model_dump())


def records(
    step: algorithm.Step,
    round: str,
    tokenizer: PreTrainedTokenizerBase,
    prompt_of: dict[tuple[int, ...], str],
) -> list[Rollout]:
    """What a step drew, as records."""
    drawn = step.rollouts
    return [
        Rollout(
            id=f"{round}-{step.number}-{place}",
            prompt=prompt_of[tuple(drawn.prompts[place])],
            response=decode(tokenizer, drawn.responses[place]),
            step=step.number,
            ended=drawn.ended[place],
            tokens=len(drawn.responses[place]),
            score=round_off(drawn.scores[place]),
            kl=round_off(drawn.kl[place]),
            reward=round_off(drawn.rewards[place]),
            round=round,
        )
        for place in range(len(drawn.responses))
    ]


def round_off(number: Tensor) -> float:
    """Six decimals are enough for a record."""
    return round(float(number), 6)
