"""The estimate of memory is within 15 % of the measured peak, and its arithmetic is that of the tables."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from alignloop.core.memory_estimate import PpoModels, lm_training, ppo
from alignloop.core.model_shape import ModelShape, llama_shape, shape_of
from alignloop.core.pass_memory import PassSizes
from tests.core.memory_probe import CASES, make

ROOT = Path(__file__).parents[2]
# Qwen2.5-1.5B
LARGE = llama_shape(vocabulary=151_936, width=1536, layers=28, inner=8960, queries=1536, keys=256)
GPU = PassSizes(4096, 512, 1, row=512, response=256, bf16=True, checkpointing=True)
STEP = {"rows": 64, "responses": 512, "batch": 64}
ADAPTED = PpoModels(rank=16, reference="adapter", value="trunk")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probed")
    make(folder)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is Linux's")
@pytest.mark.parametrize("case", CASES)
def test_the_estimate_is_within_15_percent_of_the_measured_peak(case: str, models: Path) -> None:
    command = [sys.executable, "-m", "tests.core.memory_probe", case, str(models)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert 0.85 < found["estimated"] / found["measured"] < 1.15, found


def test_a_policy_of_1_5_billion_weights_fits_80_gb_whole_and_24_gb_by_adapters() -> None:
    assert LARGE.weights == pytest.approx(1.5437e9, rel=1e-4)
    whole = ppo(LARGE, GPU, PpoModels(), **STEP).on("cuda")
    assert whole.parts["Adam"] == 8 * (LARGE.weights + LARGE.trunk), "two moments of policy and value model"
    assert whole.parts["EMA"] == 4 * LARGE.weights
    assert 60e9 < whole.total < 80e9
    assert ppo(LARGE, GPU, ADAPTED, **STEP).on("cuda").total < 24e9
    kept = replace(GPU, checkpointing=False)
    assert ppo(LARGE, kept, PpoModels(), **STEP).on("cuda").total > 80e9, "activations of two models"
    assert ppo(LARGE, replace(GPU, head_tokens=None), PpoModels(), **STEP).total > whole.total


def test_each_way_to_save_memory_lowers_the_estimate() -> None:
    plain = replace(GPU, checkpointing=False, head_tokens=None)
    most = ppo(LARGE, plain, PpoModels(), **STEP).total
    assert ppo(LARGE, replace(plain, checkpointing=True), PpoModels(), **STEP).total < most
    assert ppo(LARGE, replace(plain, head_tokens=256), PpoModels(), **STEP).total < most
    assert ppo(LARGE, replace(plain, tokens=1024), PpoModels(), **STEP).total < most
    for models in (PpoModels(value="trunk"), PpoModels(value="none"), PpoModels(rank=8), ADAPTED):
        assert ppo(LARGE, plain, models, **STEP).total < most
    assert ppo(LARGE, replace(plain, parallel=2), PpoModels(), **STEP).total > most
    assert ppo(LARGE, plain, PpoModels(held_out=True, keeps_best=True), **STEP).total > most


def test_a_wide_batch_of_decoding_is_what_counts_where_little_learns() -> None:
    wide = ppo(LARGE, GPU, ADAPTED, **{**STEP, "batch": 512})
    cache = 2 * 256 * 28 * 512 * 2  # keys and values × layers × tokens × bf16
    assert wide.parts["decoding"] > 512 * cache
    assert wide.total > ppo(LARGE, GPU, ADAPTED, **STEP).total


def test_sft_by_adapters_keeps_moments_and_gradients_of_the_adapters_alone() -> None:
    whole = lm_training("sft", LARGE, GPU, rows=16, keeps_best=True, trainable=LARGE.weights)
    rank = LARGE.adapters(8)
    adapted = lm_training("sft", LARGE, GPU, rows=16, keeps_best=True, trainable=rank)
    assert whole.parts["Adam"] - adapted.parts["Adam"] == 8 * (LARGE.weights - rank)
    assert rank == 28 * 8 * (2 * (1536 + 1536) + 2 * (1536 + 256) + 3 * (1536 + 8960))


def test_a_shape_is_read_from_the_headers_of_the_files(models: Path, tmp_path: Path) -> None:
    shape = shape_of(models / "policy")
    assert shape == ModelShape(
        family="llama",
        weights=4096 * 512 + 6 * (4 * 512 * 512 + 3 * 512 * 1376 + 2 * 512) + 512,
        vocabulary=4096,
        width=512,
        layers=6,
        inner=1376,
        queries=512,
        keys=512,
        tied=True,
        gated=True,
        context=512,
    )
    reward = shape_of(models / "reward")
    assert shape
    assert reward
    assert reward.trunk == shape.trunk == shape.weights, "a head's few weights are not counted"
    assert shape_of(tmp_path) is None
