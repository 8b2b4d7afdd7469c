"""What ranks with sharded models do in the tests, beside the jobs of all ranks."""

import copy
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from alignloop.core import devices, lm_training, parallel_passes
from alignloop.core.lora import add_adapters, merge_adapters
from alignloop.core.models import save_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.train_state import own, whole
from alignloop.core.training_loop import Training
from tests.core.rank_jobs import JOBS, ROWS, SCHEDULE, TOKENIZER, Found, policy, run_jobs, weights


def training(model: nn.Module) -> Training:
    random: Any = np.random.default_rng(0)
    return lm_training.fit(model, ROWS, 0, rows_per_step=4, random=random, **SCHEDULE)  # type: ignore[arg-type]


def plain(state: Any) -> Any:
    """A state as a checkpoint holds it: whole tensors."""
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items()}
    if isinstance(state, list):
        return [plain(value) for value in state]
    return whole(state).clone() if isinstance(state, torch.Tensor) else state


def states(before: Found | None = None) -> Found:
    """A training after three steps, and at its end: in one go, resumed here, and resumed from `before`."""
    through, left = policy(), dict[str, Any]()
    for step, _, _ in (steps := training(through)):
        if step == 3:
            left = plain(steps.state())
    found: Found = {"left": left, "through": weights(through)}
    for name, state in {"resumed": left, "elsewhere": before and before["left"]}.items():
        if state:
            model = policy()
            (rest := training(model)).restore(copy.deepcopy(state))
            list(rest)
            found[name] = weights(model)
    return found


def files(save: Any) -> Found:
    """The digests of the files of a saved model, where this process writes them."""
    with tempfile.TemporaryDirectory() as place:
        save(Path(place))
        return {
            str(file.relative_to(place)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(Path(place).rglob("*"))
            if file.is_file()
        }


def saved() -> Found:
    """A policy, a reward model, and adapted ones (sharded with and without their wrapper), saved."""
    model = policy()
    reward, taught = (RewardModel.from_policy(model, seed) for seed in (1, 2))
    adapted, wrapped, trunk = (
        add_adapters(each, rank=4, alpha=8, seed=0) for each in (policy(), policy(), taught.trunk)
    )
    with torch.no_grad():
        for each in (adapted, wrapped, trunk):
            for name, weight in each.named_parameters():
                if "lora_B" in name:
                    weight.copy_(torch.linspace(-0.1, 0.1, weight.numel()).view_as(weight))
    for each in (model, adapted.get_base_model(), wrapped, reward, taught):
        devices.shard(each)
    return {
        "policy": files(lambda place: save_policy(model, TOKENIZER, place)),
        "adapters": files(lambda place: save_policy(merge_adapters(adapted), TOKENIZER, place)),
        "wrapper": files(lambda place: save_policy(merge_adapters(wrapped), TOKENIZER, place)),
        "reward model": files(lambda place: reward.save(place, TOKENIZER)),
        "adapted reward model": files(lambda place: taught.save(place, TOKENIZER, trunk)),
        "held": [sum(own(weight).numel() for weight in each.parameters()) for each in (model, reward)],
        "weights": [sum(weight.numel() for weight in each.parameters()) for each in (model, reward)],
    }


def everything(before: Path, jobs: Sequence[str]) -> dict[str, Any]:
    """These jobs with sharded models, and what else there is; `before` has the states of one process."""
    chosen = {name: JOBS[name] for name in jobs}
    found: dict[str, Any] = {"jobs": run_jobs(chosen), "states": states(torch.load(before)), "saved": saved()}
    return {**found, "writes": parallel_passes.is_writer()}
