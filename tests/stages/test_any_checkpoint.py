"""The loop on checkpoints of three families, made on the spot and read from disk; what cannot serve is
refused by name.
"""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.pytorch_utils import Conv1D

from alignloop.core import precision
from alignloop.core.models import load_policy, save_policy
from alignloop.core.numeric_checks import NonFiniteLoss
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import END, TokenizerError, train_tokenizer
from alignloop.core.train_state import weights_of
from alignloop.stages.ppo import value_model
from tests.stages.loop import ANSWERS, QUESTIONS, Loop, tiny

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' "
    "}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ROWS = 340  # more than the tokenizer has tokens, as in many checkpoints
SIZES: dict[str, Any] = {
    "vocab_size": ROWS,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 96,
}
FAMILIES: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(vocab_size=ROWS, n_embd=16, n_layer=1, n_head=2, n_positions=96),
    "llama": LlamaConfig(**SIZES, tie_word_embeddings=False),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
}
LORA = {"lora": {"rank": 2, "alpha": 4}}
EVERYTHING: dict[str, Any] = {  # of what makes a large model fit
    "ppo": {"reference": "adapter", **LORA, "value": "trunk", "value_coef": 0.1},
    "compute": {"precision": "bf16", "gradient_checkpointing": True},
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer([*QUESTIONS, *ANSWERS] * 3, 300)


def make(family: str, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """A checkpoint with random weights; Qwen's has a chat template of its own, without marks for what the
    assistant generates.
    """
    torch.manual_seed(0)
    if family == "qwen2":
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.add_special_tokens(
            {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
        )
        tokenizer.chat_template = CHATML
    save_policy(AutoModelForCausalLM.from_config(FAMILIES[family]), tokenizer, folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loop_runs_on_any_family(family: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    loop = Loop(tmp_path, make(family, tokenizer, tmp_path / "checkpoint"))
    loop.pretrain(tiny())
    loop.sft(tiny())
    loop.reward(tiny())
    for out, options in (("policy", {}), ("adapted", EVERYTHING)):
        precision.use("bf16" if options else "fp32")
        steps = loop.ppo(tiny(**options), out)
        precision.use("fp32")
        assert [step.step for step in steps] == [1, 2]
        assert all(math.isfinite(number) for step in steps for number in step.metrics.values())
        assert steps[0].metrics["ratio_first"] == pytest.approx(1, abs=1e-5 if out == "policy" else 0.02)
        assert steps[0].metrics["kl"] == pytest.approx(0, abs=1e-4 if out == "policy" else 0.2), (
            "PPO starts at its reference"
        )
        policy, its_tokenizer = load_policy(tmp_path / out)
        assert policy.config.vocab_size == ROWS > len(its_tokenizer)
        before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("sft", out))
        assert before.keys() == after.keys(), "merged: a loader needs to know nothing of adapters"
        assert any(not torch.equal(before[name], after[name]) for name in before)
    assert loop.numbers("policy")["rollouts"] == 16
    loop.next_round(tiny(evaluate={"prompts": 8, "documents": 4, "best_of": [2]}), "policy")
    assert {file.name for file in (tmp_path / "ranked").iterdir()} == {"r1.jsonl", "r2.jsonl"}
    assert loop.numbers("ranked")["pairs"] == 9 * 3, "all pairs of three answers"
    found = loop.numbers("evaluate")
    assert all(math.isfinite(found["models"][name]["perplexity"]) for name in ("base", "sft", "policy"))
    assert math.isfinite(found["kl_to_sft_nats"])
    assert found["best_of"]["2"]["score"] > found["models"]["sft"]["score"] - 1
    assert (tmp_path / "overoptimisation.csv").read_text().startswith("step,sqrt_kl,score\n1,")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_sft_and_reward_models_learn_by_adapters_which_are_merged_into_what_is_saved(
    family: str, kind: precision.Precision, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    loop = Loop(tmp_path, make(family, tokenizer, tmp_path / "base"))
    compute = {"precision": kind, "gradient_checkpointing": kind == "bf16"}
    plan = tiny(sft=LORA, reward={**LORA, "held_out_model": True}, compute=compute)
    precision.use(kind)
    loop.sft(plan)
    loop.reward(plan)
    precision.use("fp32")
    base, learned = (load_file(tmp_path / name / "model.safetensors") for name in ("base", "sft"))
    trunk, other = (
        load_file(tmp_path / name / "model.safetensors") for name in ("reward", "reward/held_out")
    )
    assert base.keys() == learned.keys()
    assert {weight.dtype for part in (learned, trunk, other) for weight in part.values()} == {torch.float32}
    changed = {name for name in base if not torch.equal(base[name], learned[name])}
    policy, _ = load_policy(tmp_path / "sft")
    linear = {
        f"{name}.weight"
        for name, layer in policy.named_modules()
        if isinstance(layer, torch.nn.Linear | Conv1D) and layer is not policy.get_output_embeddings()
    }
    assert changed == linear, "of what is frozen no bit changes"
    prefix = f"{policy.base_model_prefix}."
    assert trunk.keys() == {name.removeprefix(prefix) for name in base if name.startswith(prefix)}
    for mine in (trunk, other):
        moved = {prefix + name for name in mine if not torch.equal(learned[prefix + name], mine[name])}
        assert moved == linear, "the reward model starts at SFT"
    start = RewardModel.load(tmp_path / "reward")
    assert start.head.weight.abs().max() > 0
    value = value_model(tiny(ppo=LORA).ppo, tmp_path / "reward", policy, False, seed=1)
    assert value
    learning = {name for name in weights_of(value) if not name.startswith("head.")}
    assert {name.split(".lora_")[0] for name in learning} == {
        f"trunk.{name.removeprefix(prefix).removesuffix('.weight')}" for name in linear
    }, "PPO's value model learns by adapters as well"
    ids, mask = torch.tensor([[3, 20, 30, 40, 4]]), torch.ones(1, 5, dtype=torch.bool)
    assert torch.equal(value.per_token(ids, mask), start.per_token(ids, mask)), (
        "it starts as the reward model"
    )


@pytest.mark.parametrize(("reference", "value"), [("model", "reward"), ("adapter", "trunk")])
def test_the_loop_runs_on_frozen_weights_of_four_bits_and_saves_whole_ones(
    reference: str, value: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    loop = Loop(tmp_path, make("llama", tokenizer, tmp_path / "base"))
    plan = tiny(
        compute={"frozen_weights": "4bit"},
        sft=LORA,
        reward=LORA,
        ppo={"reference": reference, **LORA, "value": value, "value_coef": 0.1},
    )
    loop.sft(plan)
    loop.reward(plan)
    steps = loop.ppo(plan, "policy")
    assert steps[0].metrics["ratio_first"] == pytest.approx(1, abs=1e-5)
    assert steps[0].metrics["kl"] == pytest.approx(0, abs=1e-4), "start and reference have the same bits"
    found = {
        name: load_file(tmp_path / name / "model.safetensors") for name in ("base", "sft", "reward", "policy")
    }
    assert {weight.dtype for part in found.values() for weight in part.values()} == {torch.float32}
    assert found["base"].keys() == found["sft"].keys() == found["policy"].keys()
    layer = "model.layers.0.mlp.up_proj.weight"
    assert 0.01 < (found["base"][layer] - found["sft"][layer]).norm() / found["base"][layer].norm() < 0.3
    assert torch.equal(found["base"]["lm_head.weight"], found["policy"]["lm_head.weight"])
    assert "quantization" not in (tmp_path / "policy" / "config.json").read_text()


@pytest.mark.parametrize("pad", [None, END])
def test_the_loop_gives_the_same_weights_whatever_pads_rows(
    pad: str | None, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    bent = copy.deepcopy(tokenizer)
    bent.pad_token = pad
    weights = []
    for name, kind in (("own", tokenizer), ("bent", bent)):
        loop = Loop(tmp_path / name, make("llama", kind, tmp_path / name / "checkpoint"))
        loop.pretrain(tiny())
        loop.sft(tiny())
        loop.reward(tiny())
        loop.ppo(tiny(), "policy")
        weights.append(
            [
                load_file(tmp_path / name / stage / "model.safetensors")
                for stage in ("sft", "reward", "policy")
            ]
        )
    for own, other in zip(*weights, strict=True):
        assert all(torch.equal(own[name], other[name]) for name in own)


def test_a_checkpoint_without_a_chat_template_is_refused_with_the_remedy(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    bent = copy.deepcopy(tokenizer)
    bent.chat_template = None
    loop = Loop(tmp_path, make("llama", bent, tmp_path / "base"))
    with pytest.raises(
        TokenizerError,
        match=r"base: the tokenizer has no chat template; give its folder a chat_template.jinja",
    ):
        loop.sft(tiny())


def test_a_loss_that_explodes_names_step_rows_and_likely_cause(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    loop = Loop(tmp_path, make("llama", tokenizer, tmp_path / "base"))
    loop.sft(tiny())
    loop.reward(tiny())
    with pytest.raises(
        NonFiniteLoss, match=r"^step \d+: .* is (nan|inf), in d\d+.*: the weights diverged"
    ) as error:
        loop.sft(tiny(sft={"learning_rate": 1e30, "epochs": 4.0}))
    assert "lower the learning rate" in str(error.value)
    # a value head that shares the policy's trunk, and a value model of its own
    for model in ("trunk", "reward"):
        plan = {"value": model, "learning_rate": 1e30, "value_learning_rate": 1e-5, "ema_decay": 0.0}
        with pytest.raises(
            NonFiniteLoss,
            match=r"^step [12]: .* is (nan|inf), in p\d+, p.*: the weights diverged .*: lower the learning",
        ):
            loop.ppo(tiny(ppo=plan), f"exploded-{model}")
    head = tmp_path / "reward" / "head.safetensors"
    save_file({**load_file(head), "bias": torch.tensor([math.nan])}, head)
    with pytest.raises(
        NonFiniteLoss,
        match=r"step 1: the scores of responses .* are not finite, in p\d+, .*all weights are still finite",
    ):
        loop.ppo(tiny(ppo={"value": "trunk"}))
    assert not (tmp_path / "policy").exists()
