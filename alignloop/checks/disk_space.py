"""The disk that checkpoints of running stages and saved models take, against what is free."""

import shutil
from pathlib import Path

from alignloop.checks.findings import Finding
from alignloop.checks.stage_memory import gigabytes
from alignloop.core.model_shape import ModelShape
from alignloop.core.pass_memory import FLOAT
from alignloop.params import Params

KEPT = 3  # checkpoints of a stage while a new one is written
COPIES = 2  # of a model: in models/ and in DVC's cache


def disk_needed(params: Params, shape: ModelShape) -> dict[str, int]:
    """Bytes by what takes them: the models of all rounds, and the checkpoints of the largest stage."""
    rounds, plan = len(params.rounds), params.ppo
    learning = shape.adapters(plan.lora.rank) if plan.lora else shape.weights
    value = 0
    if plan.advantages == "gae" and plan.value == "reward":
        value = shape.adapters(plan.lora.rank) if plan.lora else shape.trunk
    in_sft = shape.adapters(params.sft.lora.rank) if params.sft.lora else shape.weights
    in_dpo = shape.adapters(params.dpo.lora.rank) if params.dpo.lora else shape.weights
    if all(each.by != "dpo" for each in params.rounds.values()):
        in_dpo = 0
    # weights and two moments, and the average of PPO or the best weights of SFT and DPO
    state = FLOAT * max(4 * learning + 3 * value, 4 * in_sft, 4 * in_dpo)
    models = FLOAT * (2 + 2 * rounds) * shape.weights
    return {"models": COPIES * models, "checkpoints": KEPT * state}


def check_disk(params: Params, shape: ModelShape, root: Path) -> Finding:
    """Whether what is not yet there fits on the disk of the project."""
    parts, free = disk_needed(params, shape), shutil.disk_usage(root).free
    need = sum(parts.values())
    said = (
        f"{len(params.rounds)} rounds take about {gigabytes(need)} (models {gigabytes(parts['models'])} with "
        f"DVC's cache, checkpoints {gigabytes(parts['checkpoints'])}), {gigabytes(free)} are free"
    )
    if need > free:
        return Finding(
            "disk", "warning", said, "make room, plan fewer rounds, or move the project to a larger disk"
        )
    return Finding("disk", "ok", said)
