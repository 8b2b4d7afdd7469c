"""Parameters that contradict each other across keys and sections, all of them at once.

A check is a generator whose arguments are named as the sections it looks at: it runs where these are valid by
themselves, whatever is wrong with others.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from alignloop.params.compute import Compute
from alignloop.params.dpo import Dpo
from alignloop.params.evaluate import Evaluate
from alignloop.params.ingest import Ingest
from alignloop.params.label import Label
from alignloop.params.ppo import Ppo
from alignloop.params.pretrain import Pretrain
from alignloop.params.reward import Reward
from alignloop.params.rollout import RolloutEngine
from alignloop.params.round_chain import rounds_build_on_earlier_ones
from alignloop.params.rounds import Round
from alignloop.params.sample import Decoding
from alignloop.params.serving import Serving
from alignloop.params.sft import Sft
from alignloop.params.tool_checks import TOOL_CHECKS


def contradictions(sections: Mapping[str, Any]) -> list[str]:
    """A sentence per contradiction between these sections, which are valid by themselves."""
    found: list[str] = []
    for check in CHECKS:
        asked = inspect.signature(check).parameters
        if asked.keys() <= sections.keys():
            found += check(**{name: sections[name] for name in asked})
    return found


def _ppo_steps(ppo: Ppo) -> Iterator[str]:
    if ppo.value_warmup_steps >= ppo.steps:
        yield (
            f"ppo.value_warmup_steps: {ppo.value_warmup_steps} leave none of the {ppo.steps} steps for the "
            "policy; lower them, or raise ppo.steps"
        )
    responses = ppo.prompts_per_step * ppo.responses_per_prompt
    if ppo.minibatches > responses:
        yield (
            f"ppo.minibatches: {ppo.minibatches} exceed the {responses} responses of a step "
            "(ppo.prompts_per_step x ppo.responses_per_prompt); lower them"
        )


def _ppo_advantages(ppo: Ppo) -> Iterator[str]:
    if ppo.advantages == "gae":
        return
    if ppo.responses_per_prompt < 2:
        yield (
            f"ppo.advantages: {ppo.advantages} compares responses to one prompt; raise "
            "ppo.responses_per_prompt to 2"
        )
    if ppo.value_warmup_steps or ppo.whiten_rewards:
        yield (
            f"ppo.advantages: {ppo.advantages} has no value model and whitens nothing; set "
            "ppo.value_warmup_steps to 0 and ppo.whiten_rewards to false"
        )


def _score_has_the_value_models_start(ppo: Ppo) -> Iterator[str]:
    if ppo.score == "reward" or ppo.advantages != "gae" or ppo.value != "reward":
        return
    if all(part.kind != "reward" for part in ppo.score.values()):
        yield (
            "ppo.value: reward starts the value model as the reward model, which ppo.score does not hold: "
            "its values would be of another score; set ppo.value: trunk and ppo.value_coef: 0.1, or "
            "ppo.advantages: rloo or grpo"
        )


def _score_has_a_scale(ppo: Ppo) -> Iterator[str]:
    if ppo.score == "reward" or ppo.missing_eos_score is None:
        return
    for name, part in ppo.score.items():
        if getattr(part, "shift", 0.0) is None:
            yield (
                f"ppo.missing_eos_score: {ppo.missing_eos_score:g} may be high on the scale of "
                f"ppo.score.{name}, which is not known, and responses would learn not to end; set "
                f"ppo.score.{name}.shift to its mean on good responses (0.0 if that is 0), or "
                "ppo.missing_eos_score to null"
            )


def _ppo_adapters(ppo: Ppo) -> Iterator[str]:
    if ppo.reference == "adapter" and ppo.lora is None:
        yield (
            "ppo.reference: adapter is the policy with its LoRA adapters off; set ppo.lora, e.g. {rank: 8, "
            "alpha: 16}"
        )


def _adapter_reference_starts_at_sft(ppo: Ppo, rounds: Mapping[str, Round]) -> Iterator[str]:
    for name, plan in rounds.items():
        if ppo.reference == "adapter" and plan.by == "ppo" and plan.start != "models/sft":
            yield (
                "ppo.reference: adapter leaves PPO's start as the reference; set "
                f"rounds.{name}.start to models/sft"
            )


def _processes_fit(compute: Compute) -> Iterator[str]:
    if compute.shard != "none" and compute.processes == 1:
        yield (
            f"compute.shard: {compute.shard} needs several processes; raise compute.processes, or set "
            "compute.shard: none"
        )
    if compute.device == "mps" and compute.processes > 1:
        yield (
            f"compute.processes: {compute.processes} work on cpu or cuda only, not on mps; set "
            "compute.processes: 1"
        )


def _four_bits_are_under_adapters(
    compute: Compute, sft: Sft, reward: Reward, ppo: Ppo, dpo: Dpo, rounds: Mapping[str, Round]
) -> Iterator[str]:
    if not compute.four_bits:
        return
    used: dict[str, Sft | Reward | Ppo | Dpo] = {"sft": sft, "reward": reward}
    methods = {plan.by for plan in rounds.values()}
    used |= {name: plan for name, plan in (("ppo", ppo), ("dpo", dpo)) if name in methods}
    if whole := [name for name, plan in used.items() if plan.lora is None]:
        yield (
            f"compute.frozen_weights: 4bit is for weights that do not learn, and {' and '.join(whole)} "
            f"{'trains' if len(whole) == 1 else 'train'} them; set "
            f"{' and '.join(f'{name}.lora' for name in whole)}, e.g. {{rank: 16, alpha: 32}}, or "
            "compute.frozen_weights: whole"
        )
    if compute.shard != "none":
        yield (
            f"compute.frozen_weights: 4bit cannot be sharded, as compute.shard: {compute.shard} asks for; "
            "set compute.shard: none, or compute.frozen_weights: whole"
        )


def _sampler_gets_whole_weights(compute: Compute, rollout: RolloutEngine) -> Iterator[str]:
    if rollout.engine == "vllm" and compute.shard != "none":
        yield (
            f"rollout.engine: vllm is given whole weights, which compute.shard: {compute.shard} has not; "
            "set compute.shard: none, or rollout.engine: own"
        )


def _held_out_guard(ppo: Ppo, reward: Reward) -> Iterator[str]:
    if "max_held_out_fall" in ppo.guards and not reward.held_out_model:
        yield (
            "ppo.guards.max_held_out_fall needs a second reward model; set reward.held_out_model to true, or "
            "leave the guard out"
        )


def _held_out_guard_of_dpo(dpo: Dpo, reward: Reward) -> Iterator[str]:
    if "max_held_out_fall" in dpo.guards and not reward.held_out_model:
        yield (
            "dpo.guards.max_held_out_fall needs a second reward model; set reward.held_out_model to true, or "
            "leave the guard out"
        )


def _held_out_judge(evaluate: Evaluate, reward: Reward, ppo: Ppo, dpo: Dpo, label: Label) -> Iterator[str]:
    if evaluate.judge.by != "held_out":
        return
    if not reward.held_out_model:
        yield "evaluate.judge.by: held_out needs a second reward model; set reward.held_out_model to true"
    for name, guards in (("ppo", ppo.guards), ("dpo", dpo.guards)):
        if "max_held_out_fall" in guards:
            yield (
                f"evaluate.judge.by: held_out judges by a reward model that {name}.guards.max_held_out_fall "
                "chooses a policy by; leave the guard out, or take another judge"
            )
    if label.valid_share_by_training_labelers:
        yield (
            "evaluate.judge.by: held_out needs rankings of validation prompts by held-out labelers "
            "alone; set label.valid_share_by_training_labelers to 0.0"
        )


def _judge_is_no_labeler(evaluate: Evaluate, label: Label) -> Iterator[str]:
    ranks = label.kind == "judge" or (isinstance(label.kind, dict) and label.kind.get("judge", 0.0) > 0)
    same = (evaluate.judge.url.rstrip("/"), evaluate.judge.name) == (
        label.model.url.rstrip("/"),
        label.model.name,
    )
    if evaluate.judge.by == "model" and ranks and same:
        yield (
            f"evaluate.judge: {evaluate.judge.name} ranks for the reward model too (label.model), so what is "
            "trained has learned its taste; take another model"
        )


def _harness_has_whole_models(evaluate: Evaluate, compute: Compute) -> Iterator[str]:
    if evaluate.tasks and compute.shard != "none":
        yield (
            f"evaluate.tasks: the harness reads whole models, which compute.shard: {compute.shard} has not; "
            "set compute.shard: none, or leave the tasks out"
        )


def _response_fits(base: str | None, pretrain: Pretrain, decoding: Decoding) -> Iterator[str]:
    if base is None and decoding.max_new_tokens >= pretrain.context:
        yield (
            f"decoding.max_new_tokens: {decoding.max_new_tokens} leave no room for a prompt in "
            f"pretrain.context ({pretrain.context}); lower them, or raise the context"
        )


def _mixture_names_the_worlds_domains(base: str | None, ingest: Ingest, pretrain: Pretrain) -> Iterator[str]:
    if base is not None or ingest.reads_files or pretrain.mixture is None:
        return
    there = {"text", "dialogue"} | ({"code"} if ingest.world.code else set())
    if wrong := sorted(pretrain.mixture.keys() ^ there):
        code = "" if ingest.world.code else " (code with ingest.world.code above 0)"
        yield (
            f"pretrain.mixture: the built-in environment has the domains {', '.join(sorted(there))}{code}, "
            f"and each of them needs a weight; correct {', '.join(wrong)}"
        )


def _candidate_has_a_place(serving: Serving) -> Iterator[str]:
    if not serving.candidate_share:
        return
    if serving.most_loaded < 2:
        yield (
            f"serving.candidate_share: {serving.candidate_share:g} keeps two models in memory, and "
            "serving.most_loaded allows one; set serving.most_loaded to 2, or candidate_share to 0.0"
        )
    if not serving.model.endswith("@champion"):
        yield (
            f"serving.candidate_share: {serving.candidate_share:g} compares the candidate with the champion, "
            f"and serving.model is {serving.model}; set serving.model to NAME@champion, or candidate_share "
            "to 0.0"
        )


def _served_by_command(serving: Serving) -> Iterator[str]:
    if serving.engine != "vllm":
        return
    missing = [name for name in ("{model}", "{port}") if name not in (serving.command or "")]
    if missing:
        yield (
            f"serving.engine: vllm starts a server on each model that is served, and serving.command has no "
            f"{' and no '.join(missing)}; see docs/chat.md, or set serving.engine: own"
        )


CHECKS: tuple[Callable[..., Iterator[str]], ...] = (
    _ppo_steps,
    _ppo_advantages,
    _score_has_the_value_models_start,
    _score_has_a_scale,
    _ppo_adapters,
    _adapter_reference_starts_at_sft,
    _processes_fit,
    _four_bits_are_under_adapters,
    _sampler_gets_whole_weights,
    _held_out_guard,
    _held_out_guard_of_dpo,
    _held_out_judge,
    _judge_is_no_labeler,
    _harness_has_whole_models,
    _response_fits,
    _mixture_names_the_worlds_domains,
    rounds_build_on_earlier_ones,
    *TOOL_CHECKS,
    _candidate_has_a_place,
    _served_by_command,
)
