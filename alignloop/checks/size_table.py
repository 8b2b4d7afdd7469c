"""The memory of PPO for models of several sizes, as a table in Markdown."""

from dataclasses import replace

from alignloop.checks.stage_memory import gigabytes
from alignloop.core.memory_estimate import PpoModels, ppo
from alignloop.core.model_shape import llama_shape
from alignloop.core.pass_memory import PassSizes

SHAPES = {
    "SmolLM2-135M": llama_shape(vocabulary=49_152, width=576, layers=30, inner=1536, queries=576, keys=192),
    "SmolLM2-360M": llama_shape(vocabulary=49_152, width=960, layers=32, inner=2560, queries=960, keys=320),
    "Qwen2.5-0.5B": llama_shape(vocabulary=151_936, width=896, layers=24, inner=4864, queries=896, keys=128),
    "Qwen2.5-1.5B": llama_shape(
        vocabulary=151_936, width=1536, layers=28, inner=8960, queries=1536, keys=256
    ),
    "Llama-3.2-3B": llama_shape(
        vocabulary=128_256, width=3072, layers=28, inner=8192, queries=3072, keys=1024
    ),
    "Qwen2.5-7B": llama_shape(
        vocabulary=152_064, width=3584, layers=28, inner=18_944, queries=3584, keys=512, tied=False
    ),
}
SIZES = PassSizes(4096, 512, 1, row=512, response=256, bf16=True, checkpointing=True, host=False)
WHOLE, ADAPTED = PpoModels(), PpoModels(rank=16, reference="adapter", value="trunk")


def table() -> str:
    """A row per model: PPO with all weights learning, by adapters, and by adapters on four bits, on a GPU."""
    rows = [
        "PPO on a GPU: bf16 passes of 4,096 tokens, fp32 masters, gradient checkpointing, 512 head_tokens,",
        "512 responses a step of 256 + 256 tokens, 64 decoded at a time. Adapters: ppo.lora of rank 16,",
        "ppo.reference: adapter, ppo.value: trunk. Four bits: adapters, with compute.frozen_weights: 4bit.",
        "",
        "| model | weights | all weights | by adapters | on four bits |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, shape in SHAPES.items():
        used = [
            gigabytes(ppo(shape, sizes, models, rows=64, responses=512, batch=64).on("cuda").total)
            for sizes, models in ((SIZES, WHOLE), (SIZES, ADAPTED), (replace(SIZES, four_bits=True), ADAPTED))
        ]
        rows.append(f"| {name} | {shape.weights / 1e6:,.0f} M | {' | '.join(used)} |")
    return "\n".join(rows)
