"""The folder of weights: all of them under the names of a checkpoint, the head written out, nothing left."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from alignloop.core.lora import add_adapters, merge_adapters
from alignloop.files import WriteError
from alignloop.inference import weights_folder
from alignloop.inference.weights_folder import PREFIX, WeightsFolder


def test_a_tied_head_is_written_out(policy: PreTrainedModel, tmp_path: Path):
    assert policy.config.tie_word_embeddings
    with WeightsFolder(tmp_path) as weights:
        written = load_file(weights.write(policy) / "model.safetensors")
    assert set(written) == set(policy.state_dict())
    assert torch.equal(written["lm_head.weight"], written["model.embed_tokens.weight"])
    for name, weight in policy.state_dict().items():
        assert torch.equal(written[name], weight), name


def test_new_weights_take_the_place_of_the_ones_before_and_the_folder_goes_with_its_block(
    policy: PreTrainedModel, tmp_path: Path
):
    with WeightsFolder(tmp_path) as weights:
        folder = weights.write(policy)
        with torch.no_grad():
            policy.get_output_embeddings().weight.fill_(3.0)  # pyright: ignore[reportOptionalMemberAccess]
        assert weights.write(policy) == folder
        assert (load_file(folder / "model.safetensors")["lm_head.weight"] == 3).all()
        assert folder.stat().st_mode & 0o077 == 0, "for the owner alone"
        assert sorted(path.name for path in folder.iterdir()) == ["lock", "model.safetensors"]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_another_uses_is_not(
    policy: PreTrainedModel, tmp_path: Path
):
    left, used = tmp_path / f"{PREFIX}left", tmp_path / f"{PREFIX}used"
    for folder in (left, used):
        folder.mkdir()
        (folder / "model.safetensors").touch()
        (folder / "lock").touch()
    with (used / "lock").open() as lock, WeightsFolder(tmp_path) as weights:
        fcntl.flock(lock, fcntl.LOCK_EX)
        weights.write(policy)
        assert not left.exists()
        assert used.exists()


def test_a_killed_process_holds_its_folder_no_longer(policy: PreTrainedModel, tmp_path: Path, folder: Path):
    code = (
        "import os, sys; from pathlib import Path; from alignloop.core.models import load_policy; "
        "from alignloop.inference.weights_folder import WeightsFolder; "
        "WeightsFolder(Path(sys.argv[2])).write(load_policy(sys.argv[1])[0]); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", code, folder, tmp_path], cwd=root, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    [left] = tmp_path.iterdir()
    with WeightsFolder(tmp_path) as weights:
        assert weights.write(policy) != left
        assert not left.exists()


def test_weights_are_in_memory_where_there_is_room(
    policy: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    memory.mkdir()
    disk.mkdir()
    monkeypatch.setattr(weights_folder, "MEMORY", memory)
    monkeypatch.setattr(weights_folder.tempfile, "tempdir", str(disk))
    with WeightsFolder(None) as weights:
        assert weights.write(policy).parent == memory
    monkeypatch.setattr(weights_folder, "ROOM", 2**60)
    with WeightsFolder(None) as weights:
        assert weights.write(policy).parent == disk


def test_a_folder_that_cannot_be_written_is_named_with_its_key(policy: PreTrainedModel, tmp_path: Path):
    with (
        pytest.raises(WriteError, match=r"nowhere: no folder .* correct rollout\.weights_folder"),
        WeightsFolder(tmp_path / "nowhere") as weights,
    ):
        weights.write(policy)
    with WeightsFolder(tmp_path) as weights:
        folder = weights.write(policy)
        folder.rename(tmp_path / "moved")
        with pytest.raises(WriteError, match=r"make room, or name a folder on a larger disk"):
            weights.write(policy)


def test_merged_weights_are_those_of_the_merged_policy(policy: PreTrainedModel, tmp_path: Path):
    both = add_adapters(policy, rank=2, alpha=4, seed=0)
    with torch.no_grad():
        for name, weight in both.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5, generator=torch.Generator().manual_seed(1))
    with WeightsFolder(tmp_path) as weights:
        written = load_file(weights.write(policy) / "model.safetensors")
    merged = merge_adapters(both).state_dict()
    assert set(written) == set(merged)
    for name, weight in merged.items():
        torch.testing.assert_close(written[name], weight, atol=1e-6, rtol=1e-6)
