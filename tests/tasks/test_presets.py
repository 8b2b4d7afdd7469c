"""Each preset is valid, its estimate fits the device that it is for, and the device chooses among them."""

from pathlib import Path

import pytest

from alignloop.checks.size_table import SHAPES
from alignloop.checks.stage_memory import STAGES, needed, usages
from alignloop.pipeline.overrides import preview
from tasks.presets import FOLDER, PRESETS, UnknownPreset, for_device, gpus, preset_file

PROJECT = Path(__file__).parents[2]
SIZES = {  # preset -> the model that it names, the device, and its bytes
    "laptop": ("SmolLM2-360M", "cpu", 15 * 10**9),
    "gpu-24gb": ("Qwen2.5-1.5B", "cuda", 24 * 10**9),
    "gpu-80gb": ("Qwen2.5-1.5B", "cuda", 80 * 10**9),
    "node-8x80gb": ("Qwen2.5-7B", "cuda", 80 * 10**9),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid_over_the_defaults_for_files_and_fits_its_device(name: str) -> None:
    files = [PROJECT / FOLDER / "files.yaml", PROJECT / FOLDER / f"{name}.yaml"]
    for given in (files, files[1:]):
        params = preview(PROJECT / "params.yaml", given, {"base": "path/to/checkpoint"})
        model, device, bytes = SIZES[name]
        # PPO by the rounds of the preset, and DPO for those who set `by: dpo`
        needs = usages(params, SHAPES[model], device, "dpo")
        found = {usage.stage: needed(usage, device) for usage in needs}
        assert list(found) == list(STAGES)
        assert {stage: used for stage, used in found.items() if used > 0.97 * bytes} == {}
        assert max(params.sft.learning_rate, params.reward.learning_rate, params.ppo.learning_rate) < 5e-4
        assert params.compute.device == device


def test_the_device_chooses_and_the_other_presets_are_named() -> None:
    assert for_device([])[0] == "laptop"
    assert for_device([25_200_000_000])[0] == "gpu-24gb"
    assert for_device([85_000_000_000] * 7)[0] == "gpu-80gb"
    assert for_device([85_000_000_000] * 8)[0] == "node-8x80gb"
    file, said = preset_file(None, has_base=True)
    chosen = for_device(gpus())[0]
    assert file == FOLDER / f"{chosen}.yaml"
    assert said.startswith(f"preset {chosen}: there is ")
    assert all(f"PRESET={other}" in said for other in PRESETS if other != chosen)


def test_a_preset_by_name_needs_no_device_and_without_a_base_there_is_none() -> None:
    assert preset_file("gpu-80gb", has_base=False) == (FOLDER / "gpu-80gb.yaml", "preset gpu-80gb")
    assert preset_file(None, has_base=False) == (None, "")
    with pytest.raises(UnknownPreset, match="--preset phone: there is no such preset; there are laptop"):
        preset_file("phone", has_base=True)
