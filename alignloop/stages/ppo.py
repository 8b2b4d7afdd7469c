"""PPO of a round: raise the score, with a KL penalty against SFT and a pretraining loss (PPO-ptx)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core import ppo as algorithm
from alignloop.core.gradient_checkpointing import recompute_activations
from alignloop.core.guards import Guard, GuardMonitor
from alignloop.core.kl_controller import AdaptiveKl, FixedKl
from alignloop.core.lora import add_adapters, merge_adapters
from alignloop.core.models import context_of, load_policy, save_policy, token_rules
from alignloop.core.ppo_config import PpoConfig
from alignloop.core.precision import freeze
from alignloop.core.reward_model import RewardModel
from alignloop.data.pretraining_text import read_text
from alignloop.data.record_files import read, write
from alignloop.files import replacing, write_json
from alignloop.inference.open_sampler import open_sampler
from alignloop.params.compute import Compute
from alignloop.params.ppo import Kl, Ppo
from alignloop.params.rollout import RolloutEngine
from alignloop.params.sample import Decoding
from alignloop.params.score import Scoring
from alignloop.params.section import Seed
from alignloop.params.tools import Tools
from alignloop.progress import Progress
from alignloop.records import Prompt, Rollout
from alignloop.scoring.open_score import open_score
from alignloop.seeds import draws, seed_of
from alignloop.tools.responder import Responder, open_responder
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.curves import write_curve
from alignloop.training.encoding import document_rows
from alignloop.training.held_out_model import load_held_out_model
from alignloop.training.resumable_loop import points, recalled
from alignloop.training.rollout_records import rollout_records
from alignloop.training.scoring import scorer


def ppo(
    seed: Seed,
    plan: Ppo,
    decoding: Decoding,
    tools: Tools,
    compute: Compute,
    engine: RolloutEngine,
    scoring: Scoring,
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
    """Train the policy to raise `ppo.score`: the round's reward model, or parts of other kinds."""
    small = compute.four_bits
    policy, tokenizer = load_policy(start, four_bits=small)
    value = value_model(plan, reward, policy, small, seed_of(seed, "ppo", round, "value adapters"))
    adapted = None
    if plan.lora:
        adapted = add_adapters(policy, **plan.lora.model_dump(), seed=seed_of(seed, "ppo", round, "adapters"))
    reference = adapted if adapted and plan.reference == "adapter" else freeze(load_policy(sft, small)[0])
    if compute.gradient_checkpointing:
        recompute_activations(policy)
        if value and plan.value == "reward":
            recompute_activations(value.trunk)
    with open_responder(tools, tokenizer) as responder:
        context = context_of(policy)
        known = read(prompts / "train.jsonl", Prompt)
        room = responder.room(context, decoding.max_new_tokens)
        rows, too_long = responder.prompt_rows(tokenizer, known, room)
        ptx = []
        if plan.ptx_coef:
            text = read_text(corpus, "train", "ppo.ptx_coef asks for (0: off)")
            ptx = document_rows(tokenizer, text, context)
        guards = monitor(plan, reward, tokenizer, small, responder)
        with (
            open_score(
                plan.score,
                scoring,
                reward=reward,
                tokenizer=tokenizer,
                rows=rows,
                max_new_tokens=decoding.max_new_tokens,
                four_bits=small,
                tools=responder.tools,
            ) as score,
            open_sampler(engine, start) as sampler,
        ):
            trainer = algorithm.Trainer(
                policy,
                reference,
                value,
                score=score,
                prompts=[ids for _, ids in rows],
                ptx=ptx,
                controller=controller(plan.kl),
                rules=token_rules(tokenizer, policy),
                config=config(plan, decoding, engine),
                random=draws(seed, "ppo", round),
                generator=torch.Generator().manual_seed(seed_of(seed, "ppo", round, "sampling")),
                guards=guards,
                names=[prompt.id for prompt, _ in rows],
                sampler=responder.sampler(sampler),
            )
            prompt_of = {tuple(ids): prompt.id for prompt, ids in rows}
            journal, kept = checkpoint.journal("curve"), checkpoint.journal("rollouts")
            checkpoint.hold(trainer=trainer)
            yield from recalled(journal, plan.steps)
            for step in trainer:
                journal.add(json.dumps([step.number, step.metrics]))
                if step.number % plan.keep_rollouts_every == 0:
                    records = rollout_records(
                        step.rollouts,
                        step.number,
                        round,
                        tokenizer,
                        prompt_of,
                        turns_of=responder.turns,
                    )
                    kept.add(*(record.model_dump_json() for record in records))
                new = [
                    each
                    for each in step.violations
                    if guards and guards.first_violations[each.guard] == step.number
                ]
                notes = [f"{each.strength}: {each.message}" for each in new]
                note = "; ".join([*notes, *responder.new_faults()])
                yield Progress(step.number, plan.steps, step.metrics, note)
                checkpoint.after(step.number, last=trainer.stopped or step.number == plan.steps)
    with replacing(out) as part:
        save_policy(merge_adapters(adapted) if adapted else policy, tokenizer, part)
    write(rollouts / "rollouts.jsonl", (Rollout.model_validate_json(line) for line in kept))
    curve = points(journal)
    drawn = len(curve) * plan.prompts_per_step * plan.responses_per_prompt
    violations = {}
    if guards and guards.first_violations:
        violations = {"first_step_beyond": guards.first_violations}
    write_json(metrics, {"rollouts": drawn, "too_long": too_long, **_final_means(curve), **violations})
    write_curve(plots, curve)


def _final_means(curve: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """The means of the last five steps."""
    last = [numbers for _, numbers in curve[-5:]]
    parts = [name for name in curve[-1][1] if name.startswith("score_of_")]
    names = ("score", *parts, "kl", "length", "ended", "entropy")
    return {f"final_{name}": sum(numbers[name] for numbers in last) / len(last) for name in names}


def value_model(
    plan: Ppo, reward: Path, policy: PreTrainedModel, four_bits: bool, seed: int
) -> RewardModel | None:
    """The value model that params.yaml asks for, if advantages need one.

    Where `ppo.lora` is set, one of its own learns by adapters drawn from `seed`, and its head.
    """
    if plan.advantages != "gae":
        return None
    if plan.value == "trunk":
        return RewardModel.on_trunk_of(policy)
    model = RewardModel.load(reward, four_bits)
    if plan.lora:
        add_adapters(model.trunk, **plan.lora.model_dump(), seed=seed)
    return model


def controller(kl: Kl) -> FixedKl | AdaptiveKl:
    """The KL coefficient's controller that params.yaml asks for."""
    if kl.target_kl_per_response_nats is None:
        return FixedKl(kl.coef)
    return AdaptiveKl(kl.coef, kl.target_kl_per_response_nats, kl.horizon_responses)


def monitor(
    plan: Ppo,
    reward: Path,
    tokenizer: PreTrainedTokenizerBase,
    four_bits: bool = False,
    responder: Responder | None = None,
) -> GuardMonitor | None:
    """The guards that params.yaml asks for, with the held-out reward model where one of them needs it."""
    guards = {name: Guard(guard.limit, guard.strength) for name, guard in plan.guards.items()}
    if "max_held_out_fall" not in guards:
        return GuardMonitor(guards, plan.guard_window_steps) if guards else None
    held_out = load_held_out_model(reward, "ppo.guards.max_held_out_fall", four_bits)
    score = scorer(held_out, tokenizer)
    return GuardMonitor(guards, plan.guard_window_steps, responder.reading(score) if responder else score)


def config(plan: Ppo, decoding: Decoding, engine: RolloutEngine) -> PpoConfig:
    """PPO's numbers with those of decoding and of the sampler."""
    return PpoConfig(
        steps=plan.steps,
        prompts_per_step=plan.prompts_per_step,
        responses_per_prompt=plan.responses_per_prompt,
        minibatches=plan.minibatches,
        epochs=plan.epochs,
        advantages=plan.advantages,
        learning_rate=plan.learning_rate,
        value_learning_rate=plan.value_learning_rate,
        warmup_steps=plan.warmup_steps,
        final_learning_rate=plan.final_learning_rate,
        value_warmup_steps=plan.value_warmup_steps,
        adam_betas=plan.adam_betas,
        adam_epsilon=plan.adam_epsilon,
        gamma=plan.gamma,
        lam=plan.lam,
        clip=plan.clip,
        value_clip=plan.value_clip,
        value_coef=plan.value_coef,
        max_grad_norm=plan.max_grad_norm,
        whiten_rewards=plan.whiten_rewards,
        missing_eos_score=plan.missing_eos_score,
        ptx_coef=plan.ptx_coef,
        ptx_documents_per_step=plan.ptx_documents_per_step,
        ema_decay=plan.ema_decay,
        temperature=decoding.temperature,
        max_new_tokens=decoding.max_new_tokens,
        batch=decoding.responses_per_batch,
        sampler_truncate=engine.truncate,
    )
