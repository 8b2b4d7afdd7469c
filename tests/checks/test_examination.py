"""What the doctor finds in a sound checkpoint, and in one that is broken in each way, without a traceback."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from alignloop.checks import stage_memory
from alignloop.checks.examination import Examination, examine, examine_built_in
from alignloop.checks.findings import Finding
from alignloop.checks.step_time import Rates, check_precision
from alignloop.core import precision
from alignloop.data.record_files import write
from alignloop.params import Params
from alignloop.records import Prompt
from tests.checks.conftest import rewrite
from tests.rows import prompt, turns

WEIGHTS = "model.safetensors"


def found(params: Params, folder: Path, root: Path) -> Examination:
    return examine(params.model_copy(update={"base": str(folder)}), str(folder), root, times=False)


def errors(examination: Examination) -> list[Finding]:
    return [finding for finding in examination.findings if finding.severity == "error"]


def test_the_built_in_base_is_ready_and_all_stages_are_reckoned(params: Params, tmp_path: Path) -> None:
    examination = examine_built_in(params, tmp_path, tmp_path / "base")
    assert not errors(examination)
    assert {usage.stage for usage in examination.memory} == set(stage_memory.STAGES) - {"dpo"}
    assert set(examination.seconds) == {"sft", "sample", "reward", "ppo", "evaluate"}
    assert examination.rates
    assert examination.rates.read > examination.rates.learned > 0
    assert examination.rates.learned_otherwise > 0
    assert precision.current() == "fp32", "measured in the other, and put back"


@pytest.mark.parametrize(("now", "severity"), [("fp32", "note"), ("bf16", "warning")])
def test_a_precision_that_is_much_faster_here_is_named(
    now: precision.Precision, severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_precision", now)
    assert not check_precision(Rates(learned=100, read=1, drawn=1, learned_otherwise=120))
    [finding] = check_precision(Rates(learned=100, read=1, drawn=1, learned_otherwise=250))
    assert (finding.check, finding.severity) == ("precision", severity)
    other = {"fp32": "bf16", "bf16": "fp32"}[now]
    assert finding.message == f"passes that learn are 2.5 times as fast here in {other} as in {now}"
    assert f"compute.precision: {other}" in finding.remedy


def test_a_sound_checkpoint_has_no_error_and_is_not_changed(
    params: Params, checkpoint: Path, tmp_path: Path
) -> None:
    before = {file.name: file.read_bytes() for file in checkpoint.iterdir()}
    examination = found(params, checkpoint, tmp_path)
    assert not examination.failed
    said = {(finding.check, finding.severity) for finding in examination.findings}
    assert {("end token", "ok"), ("mask", "ok"), ("ids", "ok"), ("padding", "ok"), ("family", "ok")} <= said
    assert {file.name: file.read_bytes() for file in checkpoint.iterdir()} == before


@pytest.mark.parametrize(
    ("pad", "said"), [("<|end|>", "the pad token is the end token"), (None, "there is no pad token")]
)
def test_a_pad_token_that_is_the_end_token_or_missing_is_accepted(
    params: Params, checkpoint: Path, tmp_path: Path, pad: str | None, said: str
) -> None:
    rewrite(checkpoint / "tokenizer_config.json", pad_token=pad)
    examination = found(params, checkpoint, tmp_path)
    assert not examination.failed
    [padding] = [finding for finding in examination.findings if finding.check == "padding"]
    assert (padding.severity, padding.message.startswith(said)) == ("ok", True)


def test_infinities_in_float16_are_an_error_that_names_the_tensor_and_nothing_is_loaded(
    params: Params, checkpoint: Path, tmp_path: Path
) -> None:
    tensors = {name: tensor.half() for name, tensor in load_file(checkpoint / WEIGHTS).items()}
    tensors["model.norm.weight"][3] = float("inf")
    save_file(tensors, checkpoint / WEIGHTS, metadata={"format": "pt"})
    examination = found(params, checkpoint, tmp_path)
    [fault] = errors(examination)
    assert "NaN or infinity in model.norm.weight (float16)" in fault.message
    assert "bfloat16" in fault.remedy
    assert any(finding.message.startswith("not loaded") for finding in examination.findings)


def test_a_missing_shard_is_named(params: Params, checkpoint: Path, tmp_path: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors", "lm_head": WEIGHTS}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    [fault] = errors(found(params, checkpoint, tmp_path))
    assert "1 of 2 weight files are missing: model-00002-of-00002.safetensors" in fault.message


def test_quantised_weights_are_refused_in_one_message_each(
    params: Params, checkpoint: Path, tmp_path: Path
) -> None:
    tensors = load_file(checkpoint / WEIGHTS)
    packed = {**tensors, "model.layers.0.mlp.up_proj.qweight": torch.zeros(2, dtype=torch.int32)}
    save_file(packed, checkpoint / WEIGHTS, metadata={"format": "pt"})
    [fault] = errors(found(params, checkpoint, tmp_path))
    assert "quantised (model.layers.0.mlp.up_proj.qweight)" in fault.message
    save_file(tensors, checkpoint / WEIGHTS, metadata={"format": "pt"})
    for method in ("awq", "gptq", "bitsandbytes"):
        rewrite(checkpoint / "config.json", quantization_config={"quant_method": method})
        [fault] = errors(found(params, checkpoint, tmp_path))
        assert f"the weights are quantised ({method})" in fault.message
        assert fault.remedy == "take the checkpoint that it was quantised from"
    (checkpoint / WEIGHTS).rename(checkpoint / "model.gguf")
    [fault] = errors(found(params, checkpoint, tmp_path))
    assert "model.gguf is GGUF" in fault.message


def test_a_tokenizer_that_grew_and_a_missing_template_are_errors_beside_the_rest(
    params: Params, checkpoint: Path, tmp_path: Path
) -> None:
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    more = {**tokenizer["added_tokens"][-1], "id": 10_000, "content": "<|new|>"}
    (checkpoint / "tokenizer.json").write_text(
        json.dumps({**tokenizer, "added_tokens": [*tokenizer["added_tokens"], more]})
    )
    [fault] = errors(found(params, checkpoint, tmp_path))
    assert "it has no row for <|new|>" in fault.message
    (checkpoint / "chat_template.jinja").unlink()
    [fault] = errors(found(params, checkpoint, tmp_path))
    assert "no chat template" in fault.message


def test_a_device_that_is_not_there_is_an_error_beside_the_checkpoints_own(
    params: Params, checkpoint: Path, tmp_path: Path
) -> None:
    elsewhere = params.model_copy(
        update={"compute": params.compute.model_copy(update={"device": "mps"}), "base": str(checkpoint)}
    )
    (checkpoint / "chat_template.jinja").unlink()
    faults = errors(examine(elsewhere, str(checkpoint), tmp_path, times=False))
    assert [fault.check for fault in faults] == ["device", "tokenizer"]


def test_too_little_memory_is_an_error_and_nothing_is_loaded(
    params: Params, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alignloop.checks.examination.free_memory", lambda device: 10**8)
    examination = found(params, checkpoint, tmp_path)
    assert {fault.check for fault in errors(examination)} == {"memory"}
    assert not [finding for finding in examination.findings if finding.check == "family"]


def test_the_datas_lengths_are_counted_against_the_context(
    params: Params, checkpoint: Path, tmp_path: Path
) -> None:
    long = {"messages": turns("Who painted the door? " * 40)}
    rows = [prompt(number) for number in range(3)] + [prompt(3, **long)]
    write(tmp_path / "data" / "prompts" / "train.jsonl", map(Prompt.model_validate, rows))
    examination = found(params, checkpoint, tmp_path)
    [said] = [finding for finding in examination.findings if finding.check == "context"]
    assert said.severity == "warning"
    assert "1 are longer than 56 tokens and left out" in said.message, "96 tokens less a response of 40"
