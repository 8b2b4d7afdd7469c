"""Parameters that contradict each other are all named at once, whatever else is wrong with params.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop.params import ParamsError, parse

OTHER = {"kind": "checkpoint", "path": "rm", "weight": 1.0}
DEFAULTS = Path(__file__).parents[2] / "params.yaml"
TOOLS = {
    "functions": [{"function": "alignloop.tools.calculator:calculator", "network": False, "settings": {}}],
    "answer_tokens": 64,
    "timeout_s": 1.0,
}


def changed(**sections: Any) -> dict[str, Any]:
    """The default params.yaml with keys of sections changed."""
    values: dict[str, Any] = yaml.safe_load(DEFAULTS.read_text())
    for name, value in sections.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return values


def said(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        parse(values, "p")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(ppo={"value_warmup_steps": 40}), "ppo.value_warmup_steps: 40 leave none of the 40 steps"),
        (changed(ppo={"minibatches": 257}), "ppo.minibatches: 257 exceed the 256 responses of a step"),
        (
            changed(ppo={"advantages": "rloo", "value_warmup_steps": 0}),
            "ppo.advantages: rloo compares responses to one prompt",
        ),
        (
            changed(ppo={"advantages": "grpo", "responses_per_prompt": 2, "whiten_rewards": True}),
            "ppo.advantages: grpo has no value model and whitens nothing",
        ),
        (
            changed(
                ppo={"reference": "adapter"},
                rounds={name: {**plan, "start": "models/sft"} for name, plan in changed()["rounds"].items()},
            ),
            "ppo.reference: adapter is the policy with its LoRA adapters off; set ppo.lora",
        ),
        (
            changed(ppo={"guards": {"max_held_out_fall": {"limit": 1.0, "strength": "warn"}}}),
            "ppo.guards.max_held_out_fall needs a second reward model",
        ),
        (
            changed(compute={"shard": "full", "processes": 2}, rollout={"engine": "vllm"}),
            "rollout.engine: vllm is given whole weights, which compute.shard: full has not",
        ),
        (
            changed(compute={"frozen_weights": "4bit"}, ppo={"lora": {"rank": 8, "alpha": 16}}),
            "compute.frozen_weights: 4bit is for weights that do not learn, and sft and reward train them",
        ),
        (
            changed(
                compute={"frozen_weights": "4bit", "shard": "full", "processes": 2},
                **{name: {"lora": {"rank": 8, "alpha": 16}} for name in ("sft", "reward", "ppo")},
            ),
            "compute.frozen_weights: 4bit cannot be sharded, as compute.shard: full asks for",
        ),
        (
            changed(ppo={"score": {"exact": {"kind": "final_number", "weight": 1.0}}}),
            "ppo.value: reward starts the value model as the reward model, which ppo.score does not hold",
        ),
        (
            changed(ppo={"value": "trunk", "score": {"rm": {**OTHER, "shift": None}}}),
            "ppo.missing_eos_score: -1 may be high on the scale of ppo.score.rm, which is not known",
        ),
        (
            changed(ppo={"score": {"RM": {"kind": "reward", "weight": 1.0}}}),
            "ppo.score.RM: the name of a part must be 1 to 40 small letters, digits and _",
        ),
        (
            changed(ppo={"score": {"rm": {**OTHER, "path": "models/r1/reward", "shift": 0.0}}}),
            "ppo.score.rm.path: is made by this very run; kind: reward is the round's reward model",
        ),
        (
            changed(ppo={"score": {"rm": {"kind": "rewad", "weight": 1.0}}}),
            "ppo.score.rm: kind must be reward, checkpoint, http, function, final_number, "
            "instructions, citations, quotes, supported or rule",
        ),
        (
            changed(ppo={"score": {"true": {"kind": "citations", "weight": 1.0}}, "value": "trunk"}),
            "ppo.score.true: citations is checked against what a search has shown",
        ),
        (
            changed(tools={**TOOLS, "max_calls": 9}),
            "tools: 9 calls with answers of 64 tokens make responses of 976, which leave no room",
        ),
        (changed(ppo={"score": "rewad"}), "ppo.score: Input should be 'reward', not 'rewad'"),
        (
            changed(pretrain={"mixture": {"text": 1.0, "code": 1.0}}),
            "pretrain.mixture: the built-in environment has the domains dialogue, text (code with "
            "ingest.world.code above 0), and each of them needs a weight; correct code, dialogue",
        ),
        (changed(pretrain={"mixture": {"text": 0.0}}), "pretrain.mixture: no domain has a weight above 0"),
        (
            changed(decoding={"max_new_tokens": 192}),
            "decoding.max_new_tokens: 192 leave no room for a prompt in pretrain.context (192)",
        ),
        (
            changed(serving={"candidate_share": 0.1, "most_loaded": 1}),
            "serving.candidate_share: 0.1 keeps two models in memory",
        ),
        (
            changed(serving={"candidate_share": 0.1, "model": "alignloop-policy/3"}),
            "serving.candidate_share: 0.1 compares the candidate with the champion",
        ),
        (
            changed(serving={"engine": "vllm", "command": "vllm serve models/r3/policy --port {port}"}),
            "serving.engine: vllm starts a server on each model that is served, and serving.command has no "
            "{model};",
        ),
    ],
)
def test_a_contradiction_is_one_line_with_a_remedy(values: dict[str, Any], message: str) -> None:
    [line] = said(values)
    assert line.startswith(f"p: {message}")


def test_values_at_the_edge_are_accepted() -> None:
    parse(changed(ppo={"minibatches": 256, "value_warmup_steps": 39}), "p")
    parse(changed(decoding={"max_new_tokens": 191}), "p")
    parse(changed(base="org/name", decoding={"max_new_tokens": 4000}), "p")


def test_all_contradictions_are_named_at_once_and_each_round_has_its_own() -> None:
    lines = said(changed(ppo={"minibatches": 300, "value_warmup_steps": 60, "reference": "adapter"}))
    assert [line.partition(" ")[2].partition(":")[0] for line in lines] == [
        "ppo.value_warmup_steps",
        "ppo.minibatches",
        "ppo.reference",
        "ppo.reference",
        "ppo.reference",
    ]
    assert "rounds.r2.start" in lines[3]
    assert "rounds.r3.start" in lines[4]


def test_a_wrong_type_in_one_section_hides_no_contradiction_of_others() -> None:
    values = changed(
        seed="one",
        ppo={"minibatches": 300},
        reward={"ties": "rao_kupper"},
        rounds={"r1": {**changed()["rounds"]["r1"], "policy": "models/r9/policy"}},
    )
    lines = said(values)
    assert len(lines) == 4
    assert lines[0].startswith("p: seed: Input should be a valid integer")
    assert "rao_kupper needs a margin" in lines[1]
    assert "ppo.minibatches: 300" in lines[2]
    assert "rounds.r1.policy" in lines[3]
    values["ppo"]["steps"] = "many"
    assert len(said(values)) == 4, "of a section with a wrong type no cross-check can be made"
