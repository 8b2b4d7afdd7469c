"""Stages on checkpoints with habits of their own: what is said at once, and which records are named."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    RwkvConfig,
)

from alignloop.core.checkpoint_folder import CheckpointError
from alignloop.core.models import load_policy, save_policy
from alignloop.core.tokens import TokenizerError, end_of, train_tokenizer
from alignloop.data.record_files import read, write
from alignloop.evaluation.chance import at_chance
from alignloop.records import Demonstration, Ranking
from tests.core.test_chat_template import TEMPLATES, styled
from tests.stages.loop import ANSWERS, QUESTIONS, Loop, said, tiny

SIZES: dict[str, Any] = {
    "vocab_size": 340,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 96,
    "head_dim": 8,
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer([*QUESTIONS, *ANSWERS] * 3, 300)


def loop_on(
    root: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, template: str | None = None
) -> Loop:
    torch.manual_seed(0)
    spare = styled(tokenizer, *TEMPLATES[template][:3]) if template else copy.deepcopy(tokenizer)
    save_policy(AutoModelForCausalLM.from_config(config), spare, root / "checkpoint")
    return Loop(root, root / "checkpoint")


@pytest.mark.parametrize(
    ("config", "template"),
    [
        (GemmaConfig(**SIZES), "gemma"),
        (MistralConfig(**SIZES, sliding_window=8), "mistral"),
        (MistralConfig(**SIZES), "phi"),
        (MistralConfig(**SIZES), "r1"),
    ],
    ids=["gemma", "mistral with a window", "phi", "r1"],
)
def test_the_loop_runs_on_families_and_templates_with_habits(
    config: PreTrainedConfig, template: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    loop = loop_on(tmp_path, config, tokenizer, template)
    said_now = [progress.note for progress in loop.pretrain(tiny()) if progress.note]
    assert bool(said_now) == bool(getattr(config, "sliding_window", None) == 8)
    assert all("packed rows do not suit the family mistral" in note for note in said_now)
    loop.sft(tiny(sft={"packing": True}))
    loop.reward(tiny())
    steps = loop.ppo(tiny())
    assert all(math.isfinite(number) for step in steps for number in step.metrics.values())
    assert steps[0].metrics["ratio_first"] == pytest.approx(1, abs=1e-5)
    policy, its_tokenizer = load_policy(tmp_path / "policy")
    assert policy.generation_config is not None
    ends = policy.generation_config.eos_token_id
    assert end_of(its_tokenizer) in (ends if isinstance(ends, list) else [ends])


def test_a_recurrent_family_is_refused_before_anything_is_trained(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    config = RwkvConfig(
        vocab_size=340, hidden_size=16, num_hidden_layers=2, attention_hidden_size=16, context_length=96
    )
    with pytest.raises(CheckpointError, match=r"this model family \(rwkv\) .* use another family"):
        loop_on(tmp_path, config, tokenizer).pretrain(tiny())


def test_records_that_a_template_cannot_render_are_named_before_the_first_step(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    loop = loop_on(tmp_path, MistralConfig(**SIZES), tokenizer, "mistral")
    loop.pretrain(tiny())
    file = tmp_path / "demonstrations" / "train.jsonl"
    records = read(file, Demonstration)
    for place in (2, 5):
        changed = (said("system", "Be brief."), *records[place].messages)
        records[place] = records[place].model_copy(update={"messages": changed})
    write(file, records)
    with pytest.raises(
        TokenizerError, match=r"^d2, d5 of 16 demonstrations: .*system, user.*roles must alternate; put a"
    ):
        loop.sft(tiny())
    write(file, [record for record in records if record.messages[0].role != "system"])
    assert loop.sft(tiny())


def test_rankings_of_ties_only_are_said_before_the_training(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    loop = loop_on(tmp_path, MistralConfig(**SIZES), tokenizer)
    loop.pretrain(tiny())
    loop.sft(tiny())
    file = tmp_path / "rankings" / "r1.jsonl"
    write(file, [each.model_copy(update={"ranks": (1, 1, 1)}) for each in read(file, Ranking)])
    [note] = [progress.note for progress in loop.reward(tiny()) if progress.note]
    assert "all 12 rankings to learn from are ties, without one ordered pair" in note
    assert "label.tie" in note


def test_an_accuracy_is_chance_up_to_two_standard_errors_above_a_half():
    assert at_chance(0.3, 10)
    assert at_chance(0.6, 100)
    assert not at_chance(0.61, 100)
    assert not at_chance(0.6, 400)
    assert not at_chance(None, 0)
