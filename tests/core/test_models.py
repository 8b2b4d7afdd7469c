"""Policies: construction, checkpoints that round-trip or are refused by name, and logits independent of
padding.
"""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    pipeline,
)

from alignloop.core.checkpoint_folder import CheckpointError, check_folder
from alignloop.core.models import (
    HEAD,
    allowed_tokens,
    context_of,
    hidden_states,
    load_policy,
    logits_at,
    new_policy,
    save_policy,
)
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import TokenizerError, pad_left, pad_right
from alignloop.errors import LFS_POINTER


@pytest.fixture(scope="module")
def saved(
    tmp_path_factory: pytest.TempPathFactory, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "policy"
    save_policy(policy, tokenizer, folder)
    return folder


@pytest.fixture
def checkpoint(saved: Path, tmp_path: Path) -> Path:
    """A copy of the saved policy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "policy"))


def weights(model: torch.nn.Module) -> bytes:
    return b"".join(weight.detach().numpy().tobytes() for weight in model.parameters())


def test_a_new_policy_depends_on_its_seed_only(tokenizer: PreTrainedTokenizerFast):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = new_policy(tokenizer, 1, 32, 4, 64, seed=1)
    assert torch.equal(torch.rand(3), expected), "the caller's random number stream is unchanged"
    assert weights(one) == weights(new_policy(tokenizer, 1, 32, 4, 64, seed=1))
    assert weights(one) != weights(new_policy(tokenizer, 1, 32, 4, 64, seed=2))


def test_a_new_policy_has_tied_embeddings_and_its_tokenizers_tokens(
    policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
):
    head = policy.get_output_embeddings()
    assert head is not None
    assert head.weight is policy.get_input_embeddings().weight
    assert (policy.config.vocab_size, policy.config.eos_token_id, policy.config.pad_token_id) == (
        len(tokenizer),
        1,
        0,
    )
    assert policy.config.intermediate_size == 96, "8/3 of 32, rounded up to a multiple of 32"
    assert context_of(policy) == 64


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_padding_on_either_side_changes_no_logit(
    policy: PreTrainedModel, gpt2: PreTrainedModel, prompts: list[list[int]], padding: int, positions: str
):
    model, row = policy if positions == "rotary" else gpt2, prompts[3]
    expected = model(input_ids=torch.tensor([row])).logits[0]
    for pad in (pad_left, pad_right):
        ids, mask = pad([row, [5] * (len(row) + padding)], 0)
        mine = logits_at(model, ids[:1], mask[:1], mask[:1])
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=0)


def test_logits_are_computed_at_the_given_positions_only_row_by_row(
    policy: PreTrainedModel, prompts: list[list[int]]
):
    ids, mask = pad_right([prompts[0], prompts[1]], 0)
    places = torch.zeros_like(mask)
    places[0, 1] = places[0, 3] = places[1, 2] = True
    full = policy(input_ids=ids, attention_mask=mask.long()).logits
    torch.testing.assert_close(
        logits_at(policy, ids, mask, places), torch.stack([full[0, 1], full[0, 3], full[1, 2]])
    )


def test_attention_is_causal(policy: PreTrainedModel):
    ids = torch.tensor([[3, 20, 30, 40], [3, 20, 31, 41]])
    states = hidden_states(policy.base_model, ids, torch.ones_like(ids, dtype=torch.bool))
    assert torch.equal(states[0, :2], states[1, :2])
    assert not torch.allclose(states[0, 2], states[1, 2])


def test_a_saved_policy_loads_unchanged_and_equal_weights_give_equal_bytes(
    saved: Path, tmp_path: Path, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
):
    model, its_tokenizer = load_policy(saved)
    assert weights(model) == weights(policy)
    assert not model.training
    assert its_tokenizer.chat_template == tokenizer.chat_template
    assert its_tokenizer.get_vocab() == tokenizer.get_vocab()
    save_policy(model, its_tokenizer, tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        saved / "model.safetensors"
    ).read_bytes()


def test_a_saved_policy_is_a_folder_that_transformers_pipeline_takes(checkpoint: Path):
    talk = pipeline("text-generation", str(checkpoint), device="cpu")
    [reply] = talk([{"role": "user", "content": "Who?"}], max_new_tokens=4, do_sample=False)
    roles = [turn["role"] for turn in reply["generated_text"]]
    assert roles == ["user", "assistant"]


def test_a_model_saved_in_half_precision_is_loaded_in_fp32(
    saved: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    save_policy(load_policy(saved)[0].bfloat16(), tokenizer, tmp_path / "half")
    assert load_policy(tmp_path / "half")[0].dtype == torch.float32


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def as_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def pointed(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(LFS_POINTER + b"v1\noid sha256:00\nsize 2\n")


def rewritten(name: str, tensor: torch.Tensor | None) -> Callable[[Path], object]:
    def rewrite(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors.pop(name)
        save_file(
            tensors if tensor is None else {**tensors, name: tensor},
            folder / "model.safetensors",
            metadata={"format": "pt"},
        )

    return rewrite


NORM = "model.layers.1.input_layernorm.weight"


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (without("config.json"), "config.json is missing"),
        (without("model.safetensors"), "no \\*.safetensors file: the weights are missing"),
        (without("tokenizer_config.json"), "tokenizer_config.json is missing"),
        (without("tokenizer.json"), "the tokenizer cannot be read .* restore tokenizer.json"),
        (as_pickle, "only pytorch_model.bin, a pickle that can run code; convert it to safetensors"),
        (truncated, "the weights cannot be read .*incomplete metadata, file not fully covered"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b""),
            "the weights cannot be read .*header too small",
        ),
        (pointed, "model.safetensors: this is a Git LFS pointer instead of the file; .*git lfs pull"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": '), "cannot be read"),
        (rewritten(NORM, None), f"the weights lack 1 tensors of the model, the first is {NORM}"),
        (rewritten(NORM, torch.zeros(3)), "the weights cannot be read"),
        (rewritten(NORM, torch.full((32,), torch.nan)), "logits are not finite"),
        (lambda folder: (folder / HEAD).touch(), f"{HEAD} is here: this is a reward model, not a policy"),
        (shutil.rmtree, "no such checkpoint folder"),
    ],
)
def test_a_broken_checkpoint_is_refused_by_name(
    checkpoint: Path, breakage: Callable[[Path], object], message: str
):
    breakage(checkpoint)
    with pytest.raises(CheckpointError, match=message) as refusal:
        load_policy(checkpoint)
    assert str(checkpoint) in str(refusal.value)


def test_a_hub_id_is_left_to_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # the project may have a models/sft
    check_folder("organisation/model")
    with pytest.raises(CheckpointError, match="no such checkpoint folder"):
        check_folder("models/sft")
    with pytest.raises(
        CheckpointError,
        match=r"organisation/model: config.json cannot be read .*correct the hub id, or be online",
    ):
        load_policy("organisation/model")


def test_a_tokenizer_without_a_chat_template_is_refused(checkpoint: Path):
    (checkpoint / "chat_template.jinja").unlink()
    with pytest.raises(TokenizerError, match="no chat template"):
        load_policy(checkpoint)


def test_a_tokenizer_larger_than_the_model_is_refused(checkpoint: Path, tokenizer: PreTrainedTokenizerFast):
    larger = copy.deepcopy(tokenizer)
    larger.add_tokens(["new", "words"])
    larger.save_pretrained(checkpoint)
    with pytest.raises(CheckpointError, match="the tokenizer has 322 tokens, the model only 320"):
        load_policy(checkpoint)


@pytest.mark.parametrize("kind", [Gemma2Config, CohereConfig])
def test_a_family_that_changes_its_logits_after_the_head_is_refused(
    kind: type, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    model = AutoModelForCausalLM.from_config(
        kind(vocab_size=len(tokenizer), num_key_value_heads=2, head_dim=16, pad_token_id=0, **sizes)
    )
    save_policy(model, tokenizer, tmp_path / "capped")
    with pytest.raises(CheckpointError, match="changes its logits after the head"):
        load_policy(tmp_path / "capped")


def test_a_response_may_contain_no_special_token_except_the_end_and_no_token_beyond_the_tokenizer(
    tokenizer: PreTrainedTokenizerFast,
):
    allowed = allowed_tokens(tokenizer, len(tokenizer) + 12)
    assert allowed[:6].tolist() == [False, True, False, False, False, True]
    assert allowed[5 : len(tokenizer)].all()
    assert not allowed[len(tokenizer) :].any()


def test_a_missing_or_broken_head_is_an_error(
    checkpoint: Path, judge: RewardModel, tokenizer: PreTrainedTokenizerFast
):
    with pytest.raises(
        CheckpointError, match=f"{HEAD} is missing: this is a language model, not a reward model"
    ):
        RewardModel.load(checkpoint)
    judge.save(checkpoint / "reward", tokenizer)
    save_file({"weight": judge.head.weight.detach()}, checkpoint / "reward" / HEAD)
    with pytest.raises(CheckpointError, match=f"{HEAD} cannot be read.*train the reward model again"):
        RewardModel.load(checkpoint / "reward")
