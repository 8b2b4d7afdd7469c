"""Folders that hold no whole causal language model are refused by name, and what is advised works."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core.checkpoint_folder import CheckpointError
from alignloop.core.models import load_policy, save_policy
from alignloop.core.tokens import end_of, pad_of


@pytest.fixture
def checkpoint(policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    """A saved policy that a test may damage."""
    save_policy(policy, tokenizer, tmp_path / "policy")
    return tmp_path / "policy"


def configured(**keys: object) -> Callable[[Path], object]:
    def configure(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | keys))

    return configure


def indexed(index: object) -> Callable[[Path], object]:
    def shard(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return shard


def only(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (configured(num_hidden_layers=10**7), r"has 10,000,000 layers, the weights only \d+ tensors"),
        (configured(num_hidden_layers="two"), "cannot be read"),
        (configured(hidden_size=[1]), "cannot be read"),
        (configured(num_attention_heads=0), "cannot be read"),
        (configured(attn_implementation="flash_attention_9"), "cannot be read"),
        (configured(model_type=None, architectures=None), "does not name its model_type"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "config.json cannot be read"),
        (indexed({}), "cannot be read"),
        (indexed({"metadata": {}, "weight_map": {}}), "cannot be read"),
        (indexed([]), "cannot be read"),
        (configured(quantization_config={"quant_method": "gptq", "bits": 4}), r"quantised \(gptq\)"),
        (configured(quantization_config={"quant_method": "bitsandbytes"}), r"quantised \(bitsandbytes\)"),
        (configured(text_config={"quantization_config": {"quant_method": "awq"}}), r"quantised \(awq\)"),
        (
            configured(architectures=["LlamaForSequenceClassification"]),
            "LlamaForSequenceClassification is a classifier or a reward model: .*take the language model",
        ),
        (configured(model_type="bert", architectures=["BertForMaskedLM"]), "BertForMaskedLM is an encoder, "),
        (configured(model_type="roberta", architectures=["RobertaModel"]), "RobertaModel is an encoder, "),
        (
            configured(
                model_type="t5", architectures=["T5ForConditionalGeneration"], is_encoder_decoder=True
            ),
            "T5ForConditionalGeneration is an encoder-decoder",
        ),
        (configured(model_type="x", auto_map={"AutoConfig": "x.X"}), "needs code from the checkpoint"),
        (only("weights.gguf"), "weights.gguf is GGUF, .* take the safetensors checkpoint"),
    ],
)
def test_a_folder_that_is_no_whole_language_model_is_refused_by_name(
    checkpoint: Path, breakage: Callable[[Path], object], message: str
):
    breakage(checkpoint)
    with pytest.raises(CheckpointError, match=message) as refusal:
        load_policy(checkpoint)
    assert str(checkpoint) in str(refusal.value)


def test_an_adapter_alone_is_refused_and_the_command_that_is_named_makes_a_checkpoint(
    checkpoint: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    model = get_peft_model(load_policy(checkpoint)[0], LoraConfig(r=2, target_modules="all-linear"))
    model.save_pretrained(str(tmp_path / "adapter"))
    adapter = tmp_path / "adapter" / "adapter_config.json"
    adapter.write_text(
        json.dumps(json.loads(adapter.read_text()) | {"base_model_name_or_path": str(checkpoint)})
    )
    with pytest.raises(CheckpointError, match=r"only an adapter .*, not a whole model; merge it") as refusal:
        load_policy(tmp_path / "adapter")
    command = str(refusal.value).split("take the result: ")[1].replace(".venv/bin/python", sys.executable)
    subprocess.run(command, shell=True, check=True)
    merged, its_tokenizer = load_policy(f"{tmp_path}/adapter-merged")
    assert len(its_tokenizer) == len(tokenizer)
    ids = torch.arange(5)[None]
    torch.testing.assert_close(merged(input_ids=ids).logits, load_policy(checkpoint)[0](input_ids=ids).logits)


def test_a_pad_token_without_a_row_is_refused_and_the_remedy_works(
    checkpoint: Path, tokenizer: PreTrainedTokenizerFast
):
    file = checkpoint / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"pad_token": "<|new-pad|>"}))
    with pytest.raises(CheckpointError, match=r"no row for <\|new-pad\|>; remove pad_token from tokenizer_"):
        load_policy(checkpoint)
    settings.pop("pad_token")
    file.write_text(json.dumps(settings))
    assert pad_of(load_policy(checkpoint)[1]) == end_of(tokenizer)


def test_the_end_tokens_embedding_learns_where_it_pads_as_well(
    checkpoint: Path, tokenizer: PreTrainedTokenizerFast
):
    configured(pad_token_id=end_of(tokenizer), tie_word_embeddings=False)(checkpoint)
    tensors = load_file(checkpoint / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
    model, _ = load_policy(checkpoint)
    model(input_ids=torch.tensor([[5, end_of(tokenizer), 6]])).logits.logsumexp(-1).sum().backward()
    gradient = cast(nn.Embedding, model.get_input_embeddings()).weight.grad
    assert gradient is not None
    assert gradient[end_of(tokenizer)].abs().sum() > 0


def test_whoever_loads_a_policy_stops_where_its_responses_end(
    policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    spare = copy.deepcopy(tokenizer)
    spare.eos_token = "<|system|>"
    save_policy(copy.deepcopy(policy), spare, tmp_path / "saved")
    ends = json.loads((tmp_path / "saved" / "generation_config.json").read_text())["eos_token_id"]
    assert end_of(spare) in (ends if isinstance(ends, list) else [ends])
