"""What each stage needs by params.yaml and a checkpoint's sizes, against what is free. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from alignloop.checks.findings import Finding
from alignloop.checks.machine_memory import free_memory
from alignloop.core import memory_estimate
from alignloop.core.memory_estimate import DpoModels, PpoModels, Usage, drawing
from alignloop.core.model_shape import ModelShape, llama_shape, shape_of
from alignloop.core.pass_memory import FLOAT, PassSizes
from alignloop.data import record_files
from alignloop.errors import AlignloopError
from alignloop.params import Params
from alignloop.records import Prompt

# stages that hold a model -> the argument that names it; `base` of params.yaml names pretrain's
MODEL_OF = {
    "sft": "base",
    "sample": "policy",
    "reward": "sft",
    "ppo": "start",
    "dpo": "start",
    "evaluate": "sft",
}
STAGES = ("pretrain", *MODEL_OF)
PROGRAM = {"cpu": 500_000_000, "cuda": 600_000_000, "mps": 300_000_000}  # libraries; on a GPU, its context
CHARACTERS_PER_TOKEN = 4
PROMPT = 64  # tokens of a long prompt, as long as no data is prepared
LOOKED_AT = 1_000  # records
PROMPTS = Path("data", "prompts", "train.jsonl")
PROMPTS_PER_CALL = 128  # of the stage `sample`
TIGHT = 0.85  # share of the free memory beyond which a warning says so


class NotEnoughMemory(AlignloopError):
    """A stage would need more memory than is free; the message says what to change."""


def built_in_shape(params: Params) -> ModelShape:
    """The shape of the base model that `pretrain` makes."""
    plan = params.pretrain
    return llama_shape(
        vocabulary=plan.vocabulary,
        width=plan.width,
        layers=plan.layers,
        inner=-(-plan.width * 8 // 3 // 32) * 32,
        queries=plan.width,
        keys=plan.width,
        context=plan.context,
    )


def long_prompt(prompts: Path = PROMPTS) -> int:
    """The tokens, about, that one of twenty prepared prompts exceeds; nothing is encoded."""
    if not prompts.exists():
        return PROMPT
    first = islice(record_files.stream(prompts, Prompt, allow_empty=True), LOOKED_AT)
    lengths = sorted(sum(len(message.content) for message in prompt.messages) for prompt in first)
    return max(16, lengths[len(lengths) * 19 // 20] // CHARACTERS_PER_TOKEN) if lengths else PROMPT


def pass_sizes(params: Params, context: int | None = None, device: str = "cpu") -> PassSizes:
    """The passes by params.yaml: rows are long prompts with a whole response."""
    prompt = long_prompt()
    response = params.decoding.max_new_tokens
    row = prompt + response
    if context is not None:
        row = min(row, context)
    return PassSizes(
        tokens=params.compute.tokens_per_pass,
        head_tokens=params.compute.head_tokens,
        parallel=params.parallel_passes,
        row=max(row, response + 1),
        response=response,
        bf16=params.compute.precision == "bf16",
        checkpointing=params.compute.gradient_checkpointing,
        four_bits=params.compute.four_bits,
        host=device == "cpu",
    )


def usages(params: Params, shape: ModelShape, device: str, stage: str | None = None) -> list[Usage]:
    """What each stage takes at its peak on the device of the models: `cpu`, `cuda` or `mps`.

    The policy's are those of the methods that rounds learn by, and `stage` in any case.
    """
    sizes = pass_sizes(params, shape.context, device)
    often = {name: bool(steps or params.checkpoint_minutes) for name, steps in params.checkpoint_every}
    of = {name: replace(sizes, saves=saves) for name, saves in often.items()}
    methods = {stage, *(plan.by for plan in params.rounds.values())}
    batch, drawn = params.decoding.responses_per_batch, params.sample.responses_per_prompt
    scorers, rows = (0 if params.sample.choose == "random" else 1), PROMPTS_PER_CALL * drawn
    in_sft = shape.adapters(params.sft.lora.rank) if params.sft.lora else shape.weights
    in_reward = shape.adapters(params.reward.lora.rank) if params.reward.lora else shape.trunk
    if params.base is None:
        first = memory_estimate.lm_training(
            "pretrain",
            shape,
            replace(of["pretrain"], four_bits=False),
            rows=params.pretrain.documents_per_step,
            keeps_best=False,
            trainable=shape.weights,
        )
    else:
        first = memory_estimate.reading("pretrain", shape, sizes)
    found = (
        first,
        memory_estimate.lm_training(
            "sft",
            shape,
            of["sft"],
            rows=params.sft.demonstrations_per_step,
            keeps_best=True,
            trainable=in_sft,
        ),
        drawing("sample", shape, sizes, policies=1, scorers=scorers, rows=rows, batch=batch),
        memory_estimate.reward_training(
            shape,
            of["reward"],
            rows=params.reward.rankings_per_step,
            responses=drawn,
            trainable=in_reward,
            held_out=params.reward.held_out_model,
        ),
        *([_ppo(params, shape, of["ppo"])] if "ppo" in methods else []),
        *([_dpo(params, shape, of["dpo"])] if "dpo" in methods else []),
        drawing("evaluate", shape, sizes, policies=2, scorers=1, rows=params.evaluate.prompts, batch=batch),
    )
    return [_sharded(params, shape, each).on(device) for each in found]


def _ppo(params: Params, shape: ModelShape, sizes: PassSizes) -> Usage:
    plan = params.ppo
    responses = plan.prompts_per_step * plan.responses_per_prompt
    models = PpoModels(
        rank=plan.lora.rank if plan.lora else None,
        reference=plan.reference,
        value="none" if plan.advantages != "gae" else plan.value,
        held_out="max_held_out_fall" in plan.guards,
        keeps_best=any(guard.strength == "stop" for guard in plan.guards.values()),
    )
    return memory_estimate.ppo(
        shape,
        sizes,
        models,
        rows=-(-responses // plan.minibatches),
        responses=responses,
        batch=params.decoding.responses_per_batch,
    )


def _dpo(params: Params, shape: ModelShape, sizes: PassSizes) -> Usage:
    plan = params.dpo
    models = DpoModels(
        rank=plan.lora.rank if plan.lora else None,
        adapter_reference=plan.reference == "adapter",
        held_out="max_held_out_fall" in plan.guards,
    )
    return memory_estimate.dpo(
        shape,
        sizes,
        models,
        rows=plan.rankings_per_step,
        responses=params.sample.responses_per_prompt,
        drawn=plan.validation_prompts,
        batch=params.decoding.responses_per_batch,
    )


def _sharded(params: Params, shape: ModelShape, usage: Usage) -> Usage:
    """What one process holds: its share of the models, and a whole policy while it decodes or saves."""
    count = params.compute.processes
    if "checkpoint" in usage.parts:  # one process writes it, whatever is sharded
        copied = -(-usage.parts["checkpoint"] // count)
        usage = Usage(usage.stage, {**usage.parts, "checkpoint": copied})
    if params.compute.shard == "none" or count == 1:
        return usage
    parts = {
        name: bytes if name in (*memory_estimate.TRANSIENT, "checkpoint") else -(-bytes // count)
        for name, bytes in usage.parts.items()
    }
    return Usage(usage.stage, {**parts, "whole policy": FLOAT * shape.weights})


def check_fit(params: Params, found: Sequence[Usage], device: str, free: int | None) -> list[Finding]:
    """An error for each stage that needs more than is free on the device, and a warning where it is tight."""
    if free is None:
        return [
            Finding(
                "memory",
                "note",
                f"how much memory is free on {device} is not known here",
                "compare the table with what the machine has",
            )
        ]
    most, count = max(found, key=lambda each: each.total), params.compute.processes
    findings: list[Finding] = []
    for each in found:
        if needed(each, device, count) > free:
            severity = "error" if params.memory_check == "refuse" else "warning"
            findings.append(
                Finding("memory", severity, _said(each, device, free, count), remedy(params, each))
            )
    if not findings and needed(most, device, count) > TIGHT * free:
        findings.append(Finding("memory", "warning", _said(most, device, free, count), remedy(params, most)))
    if not findings:
        findings.append(
            Finding(
                "memory",
                "ok",
                f"{most.stage} takes most, about {gigabytes(needed(most, device, count))} of "
                f"{gigabytes(free)} free on {device}",
            )
        )
    return findings


def check_stage(params: Params, stage: str, paths: Mapping[str, Any]) -> int | None:
    """Raise NotEnoughMemory if a stage with these paths needs more than is free; nothing is loaded yet.

    Returns what `peak_memory` is expected to say at the stage's end, in bytes. A stage that holds no model,
    or whose folder has none to measure, is left to itself: None.
    """
    if stage not in STAGES:
        return None
    if stage == "pretrain" and params.base is None:
        shape = built_in_shape(params)
    else:
        place = params.base if stage == "pretrain" else paths.get(MODEL_OF[stage])
        shape = None if place is None else shape_of(Path(place))
    device = params.compute.device
    if shape is None:
        return None
    if device == "auto":
        from alignloop.core import devices  # brings torch

        device = devices.find(device).type
    usage = next(each for each in usages(params, shape, device, stage) if each.stage == stage)
    for finding in check_fit(params, [usage], device, free_memory(device)):
        if finding.severity == "error":
            raise NotEnoughMemory(f"{finding.message}; {finding.remedy}")
    return needed(usage, device) if device == "cpu" else usage.total


def needed(usage: Usage, device: str, processes: int = 1) -> int:
    """What a stage takes of a device, with its libraries. Processes share a CPU's memory."""
    return (usage.total + PROGRAM[device]) * (processes if device == "cpu" else 1)


def _said(usage: Usage, device: str, free: int, processes: int) -> str:
    largest = sorted(usage.parts.items(), key=lambda part: -part[1])[:3]
    parts = ", ".join(f"{name} {gigabytes(bytes)}" for name, bytes in largest)
    each = "" if processes == 1 or device != "cpu" else f"{processes} processes, each with "
    return (
        f"{usage.stage} needs about {gigabytes(needed(usage, device, processes))} on {device} "
        f"({each}{parts}, …), and "
        f"{gigabytes(free)} are free"
    )


def remedy(params: Params, usage: Usage) -> str:
    """What lowers the largest parts of a stage's memory."""
    largest = max(usage.parts, key=lambda name: usage.parts[name])
    ways: list[str] = []
    if usage.stage == "ppo" and params.ppo.lora is None:
        ways.append("set ppo.lora: {rank: 16, alpha: 32}, ppo.reference: adapter and ppo.value: trunk")
    if usage.stage == "dpo" and params.dpo.lora is None:
        ways.append("set dpo.lora: {rank: 16, alpha: 32} and dpo.reference: adapter")
    for name, plan in (("sft", params.sft), ("reward", params.reward)):
        if usage.stage == name and plan.lora is None:
            ways.append(f"set {name}.lora: {{rank: 16, alpha: 32}}")
    if largest == "decoding":
        ways.append("lower decoding.responses_per_batch")
    if largest in ("passes", "allocator"):
        ways += _shorter_passes(params)
    ways.append("take a smaller checkpoint or a machine with more memory")
    return f"{', or '.join(ways)}; memory_check: warn tries all the same"


def _shorter_passes(params: Params) -> list[str]:
    """What lowers the memory of a pass."""
    ways = ["lower compute.tokens_per_pass"]
    if not params.compute.gradient_checkpointing:
        ways.append("set compute.gradient_checkpointing: true")
    if params.compute.head_tokens is None:
        ways.append("set compute.head_tokens: 256")
    if params.parallel_passes > 1:
        ways.append("set parallel_passes: 1")
    return ways


def gigabytes(bytes: float) -> str:
    """Bytes as people say them: 540 MB, 7.1 GB, 58 GB."""
    if bytes < 1e9:
        return f"{bytes / 1e6:.0f} MB"
    return f"{bytes / 1e9:.1f} GB" if bytes < 1e10 else f"{bytes / 1e9:,.0f} GB"
