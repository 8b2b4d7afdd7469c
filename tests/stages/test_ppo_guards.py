"""Guards in the stage `ppo`: a run made to trip each one stops with its best policy and names the cause; a
healthy run trips none.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from alignloop.core.generate import sample
from alignloop.core.guards import RULES, GuardTripped
from alignloop.core.logprobs import response_logprobs
from alignloop.core.models import HEAD, load_policy, token_rules
from alignloop.core.reward_model import HELD_OUT
from alignloop.core.tokens import encode_prompt
from tests.stages.loop import QUESTIONS, Loop, tiny

COLLAPSE: dict[str, Any] = {  # no KL penalty, no pretraining text and a high learning rate
    "steps": 14,
    "prompts_per_step": 48,
    "minibatches": 1,
    "epochs": 4,
    "advantages": "rloo",
    "responses_per_prompt": 2,
    "learning_rate": 3e-2,
    "ptx_coef": 0.0,
    "ema_decay": 0.0,
    "kl": {"coef": 0.0, "target_kl_per_response_nats": None, "horizon_responses": 10000},
    "missing_eos_score": None,
    "guard_window_steps": 2,
}
LIMITS = {
    "max_kl_per_response_nats": 3.0,
    "min_entropy_per_token_nats": 0.1,
    "min_distinct_2": 0.06,
    "min_ended": 0.5,
    "max_held_out_fall": 0.3,
}
FOR_NO_END = {"missing_eos_score": 5.0}  # rewards responses that never end


def guards(strength: str, *names: str) -> dict[str, Any]:
    return {name: {"limit": LIMITS[name], "strength": strength} for name in names}


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path) -> Loop:
    """SFT whose responses end, a reward model with strong opinions, and a held-out one that holds the
    opposite.
    """
    loop = Loop(tmp_path_factory.mktemp("loop"), tiny_policy)
    loop.sft(tiny(sft={"epochs": 40.0, "learning_rate": 1e-2}))
    loop.reward(tiny())
    folder = loop.root / "reward"
    shutil.copytree(folder, folder / HELD_OUT)
    head = load_file(folder / HEAD)
    for place, factor in ((folder, 20.0), (folder / HELD_OUT, -20.0)):
        save_file({name: part * factor for name, part in head.items()}, place / HEAD)
    return loop


@pytest.mark.parametrize("name", LIMITS)
def test_a_run_made_to_trip_a_guard_stops_with_its_best_policy_and_names_the_cause(name: str, loop: Loop):
    changes = FOR_NO_END if name == "min_ended" else {}
    plan = {**COLLAPSE, **changes, "guards": guards("stop", name)}
    steps = loop.ppo(tiny(ppo=plan, reward={"held_out_model": True}), name)
    numbers, last = loop.numbers(name), steps[-1]
    assert numbers["first_step_beyond"] == {name: last.step}
    assert 2 <= last.step < COLLAPSE["steps"], "it stopped early"
    assert numbers["rollouts"] == last.step * 96
    assert last.note.startswith(f"stop: ppo.guards.{name}: {RULES[name][0]} ")
    assert last.note.endswith(RULES[name][1])
    within = [step for step in steps if sound(name, step.metrics)]
    assert within, "the first steps were healthy"
    policy, sft = (load_policy(loop.root / folder)[0] for folder in (name, "sft"))
    if name == "max_kl_per_response_nats":
        assert kl(policy, sft, loop) < LIMITS[name], "what is kept is within the limit"
        assert last.metrics["kl"] > LIMITS[name]


def sound(name: str, metrics: Any) -> bool:
    number = metrics[RULES[name][0]]
    return number <= LIMITS[name] if name.startswith("max") else number >= LIMITS[name]


def kl(policy: Any, sft: Any, loop: Loop) -> float:
    """Nats per response between the two, on the policy's own responses."""
    _, tokenizer = load_policy(loop.root / "sft")
    prompts = [
        encode_prompt(tokenizer, [{"role": "user", "content": question}]) for question in QUESTIONS * 32
    ]
    rules = token_rules(tokenizer, policy)
    generator = torch.Generator().manual_seed(0)
    drawn = sample(policy, prompts, rules, temperature=1.0, max_new_tokens=8, generator=generator, batch=128)
    theirs = response_logprobs(sft, prompts, drawn.ids, rules, 1.0)
    return float((torch.stack([part.sum() for part in drawn.logprobs]) - theirs).mean())


def test_a_guard_that_fails_leaves_no_policy(loop: Loop):
    plan = {**COLLAPSE, "guards": guards("fail", "max_kl_per_response_nats")}
    with pytest.raises(
        GuardTripped,
        match=r"max_kl_per_response_nats: kl [\d.]+ is above 3 .*the policy is far from its reference",
    ):
        loop.ppo(tiny(ppo=plan), "failed")
    assert not (loop.root / "failed").exists()


def test_a_healthy_run_trips_none(loop: Loop):
    healthy = {
        "steps": 5,
        "prompts_per_step": 48,
        "learning_rate": 1e-4,
        "value_learning_rate": 1e-4,
        "guard_window_steps": 2,
    }
    plan = {**healthy, "guards": guards("fail", *LIMITS)}
    steps = loop.ppo(tiny(ppo=plan, reward={"held_out_model": True}), "healthy")
    assert len(steps) == 5
    assert not any(step.note for step in steps)
    assert "first_step_beyond" not in loop.numbers("healthy")
    assert {
        "kl",
        "entropy",
        "length",
        "ended",
        "distinct_2",
        "self_bleu",
        "score_spread",
        "explained_variance",
        "clip_fraction",
    } <= set(steps[0].metrics)
    assert {
        "distinct_responses",
        "held_out_score",
        "held_out_fall",
        "ratio_first",
        "approx_kl",
        "grad_norm",
    } <= set(steps[0].metrics)
