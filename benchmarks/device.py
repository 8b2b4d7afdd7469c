"""What a device does: products of matrices, decoding, learning, memory, PPO by phase; and is it exact.

    python -m benchmarks.device                # a GPU if there is one, at the shape of a 0.5B checkpoint
    python -m benchmarks.device --device cpu   # at 8 layers of width 384

On random weights, in some ten minutes; each part has `--limit` seconds, and what is not done by then says so.
`of peak` is the learner's arithmetic (6 a weight and token) as a share of the measured product of matrices in
the same precision. Memory is the device's peak over what it held before, next to what
`core/memory_estimate.py` says; on a CPU, the process's. The exit status is 1 if a check fails.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from alignloop.checks.machine_memory import resident
from alignloop.core import devices, host_memory, pass_limits, precision
from alignloop.core.generate import sample
from alignloop.core.lm_training import accumulate_gradients
from alignloop.core.memory_estimate import PassSizes, lm_training
from alignloop.core.model_shape import feed_forward, llama_shape
from alignloop.core.tokens import Encoded
from benchmarks.device_checks import run_checks
from benchmarks.device_ppo import policy_of, rules_of, step_by_phase
from benchmarks.phase_table import phase_rows
from benchmarks.time_limit import within

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
DEFAULTS = {  # by device
    "cuda": {
        "layers": 24,
        "width": 896,
        "vocabulary": 151_936,
        "length": 256,
        "head": 1024,
        "responses": 512,
    },
    "cpu": {"layers": 8, "width": 384, "vocabulary": 5056, "length": 32, "head": 256, "responses": 16},
}
ROWS = {"cuda": [64, 256, 1024], "cpu": [32]}
PASSES = {"cuda": [4096, 16_384, 65_536], "cpu": [1024]}


@dataclass(frozen=True)
class Learned:
    """Tokens a second, and the peak of the memory that learning took, in bytes."""

    speed: float
    peak: int


def wait() -> None:
    """Until the device has done what was asked."""
    if devices.current().type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The least seconds of a call, after one that warms up."""
    work()
    wait()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        wait()
        found.append(time.perf_counter() - began)
    return min(found)


def peak_of(work: Callable[[], object]) -> int:
    """Bytes of the device's peak during the call above what it held before."""
    if devices.current().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    host_memory.give_back()
    forget_peak()
    before = resident("VmRSS") or 0
    work()
    return max(0, (resident("VmHWM") or 0) - before)


def forget_peak() -> None:
    """Let Linux count this process's peak from now on; elsewhere it has to rise to be seen."""
    file = Path("/proc/self/clear_refs")
    if file.exists():
        file.write_text("5")


def matmul(size: int, dtype: torch.dtype) -> float:
    """Operations a second of a product of square matrices."""
    one, other = (torch.randn(size, size, device=devices.current(), dtype=dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: one @ other)


def decode(model: LlamaForCausalLM, rows: int, length: int) -> float:
    """Response tokens a second of `core/generate.py`; no token ends a response."""
    vocabulary = model.config.vocab_size
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randint(1, vocabulary, (rows, length), generator=generator).tolist()
    options = {"temperature": 1.0, "max_new_tokens": length, "generator": generator, "batch": rows}
    return rows * length / seconds(lambda: sample(model, prompts, rules_of(vocabulary), **options), repeats=1)


def learn(model: LlamaForCausalLM, rows: int, length: int) -> Learned:
    """A gradient of the language-model loss on all tokens."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, model.config.vocab_size, (rows, length), generator=generator).tolist()
    encoded = [Encoded(row, [True] * length) for row in ids]

    def gradient() -> None:
        model.zero_grad()
        accumulate_gradients(model, encoded, 0)

    peak = peak_of(gradient)
    return Learned(rows * length / seconds(gradient, repeats=1), peak)


def parser() -> argparse.ArgumentParser:
    """The options; sizes that are not given are those of the device."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    found.add_argument("--dtypes", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    found.add_argument("--layers", type=int)
    found.add_argument("--width", type=int)
    found.add_argument("--vocabulary", type=int)
    found.add_argument("--rows", type=int, nargs="+", help="decoded at a time")
    found.add_argument("--length", type=int, help="of a prompt, and of a response")
    found.add_argument("--passes", type=int, nargs="+", help="tokens of a pass")
    found.add_argument("--head", type=int, help="tokens whose logits exist at a time, where not all do")
    found.add_argument("--responses", type=int, help="of a PPO step")
    found.add_argument("--limit", type=float, default=120, help="seconds of each part")
    return found


def main() -> int:
    arguments = parser().parse_args()
    devices.use(arguments.device)
    kind = "cuda" if devices.current().type == "cuda" else "cpu"
    for name, value in {**DEFAULTS[kind], "rows": ROWS[kind], "passes": PASSES[kind]}.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    config = LlamaConfig(
        vocab_size=arguments.vocabulary,
        hidden_size=arguments.width,
        intermediate_size=feed_forward(arguments.width),
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.width // 32,
        num_key_value_heads=arguments.width // 32,
        max_position_embeddings=2 * arguments.length,
        tie_word_embeddings=True,
    )
    model = policy_of(config)
    weights = sum(weight.numel() for weight in model.parameters())
    name = torch.cuda.get_device_name() if kind == "cuda" else devices.current().type
    print(f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads, {weights:,} weights\n")
    print("| dtype | what | a second | of peak | memory | estimated |\n|---|---|---:|---:|---:|---:|")
    size = 8192 if kind == "cuda" else 512
    for dtype in arguments.dtypes:
        precision.use(dtype)
        speeds(model, arguments, dtype, size)
    del model
    print("\n| PPO step | phase | seconds | share |\n|---|---|---:|---:|")
    for dtype in arguments.dtypes:
        precision.use(dtype)
        step(config, arguments, dtype)
    precision.use("fp32")
    pass_limits.use(pass_limits.PassLimits())
    return 0 if run_checks(arguments.limit) else 1


def speeds(model: LlamaForCausalLM, arguments: argparse.Namespace, dtype: str, size: int) -> None:
    """Print what a second does in one precision: a product, decoding, the learner by head whole and not."""
    product = within(arguments.limit, lambda: matmul(size, DTYPES[dtype]))
    done = product if isinstance(product, str) else f"{product / 1e9:,.2f} GFLOP"
    print(f"| {dtype} | product of matrices, {size}² | {done} | 1.00 | | |", flush=True)
    for rows in arguments.rows:
        pass_limits.use(pass_limits.PassLimits())
        speed = within(arguments.limit, lambda rows=rows: decode(model, rows, arguments.length))
        done = speed if isinstance(speed, str) else f"{speed:,.0f} tokens"
        print(f"| {dtype} | decoding, {rows} rows | {done} | | | |", flush=True)
    for tokens in arguments.passes:
        for head in (None, arguments.head):
            learner(model, arguments, dtype, tokens, head=head, product=product)


def learner(
    model: LlamaForCausalLM,
    arguments: argparse.Namespace,
    dtype: str,
    tokens: int,
    *,
    head: int | None,
    product: float | str,
) -> None:
    """Print the learner's row for passes of so many tokens; `head` of them have logits at a time, or all."""
    length = 2 * arguments.length
    pass_limits.use(pass_limits.PassLimits(tokens, head))
    rows = max(tokens // length, 1)
    title = f"| {dtype} | learner, passes of {tokens}, head {'whole' if head is None else f'of {head}'} "
    found = within(arguments.limit, lambda: learn(model, rows, length))
    model.zero_grad()
    if isinstance(found, str):
        print(f"{title}| {found} | | | |", flush=True)
        return
    weights = sum(weight.numel() for weight in model.parameters())
    share = "" if isinstance(product, str) else f"{6 * weights * found.speed / product:.4f}"
    config = model.config
    shape = llama_shape(
        vocabulary=config.vocab_size,
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        inner=config.intermediate_size,
        queries=config.hidden_size,
        keys=config.hidden_size,
    )
    sizes = PassSizes(tokens, head, 1, length, arguments.length, bf16=dtype == "bf16")
    parts = lm_training("sft", shape, sizes, rows=rows, keeps_best=False, trainable=weights).parts
    estimated = parts["gradients"] + parts["passes"]
    memory = f"{found.peak / 1e6:,.1f} MB | {estimated / 1e6:,.1f} MB"
    print(f"{title}| {found.speed:,.0f} tokens | {share} | {memory} |", flush=True)


def step(config: LlamaConfig, arguments: argparse.Namespace, dtype: str) -> None:
    """Print a PPO step by phase; passes are the smallest that were asked for."""
    pass_limits.use(pass_limits.PassLimits(min(arguments.passes), arguments.head))
    sizes = {"responses": arguments.responses, "length": arguments.length}
    took = within(arguments.limit, lambda: step_by_phase(config, **sizes))
    if isinstance(took, str):
        print(f"| {dtype}, {arguments.responses} responses | {took} | | |", flush=True)
        return
    title = f"{dtype}, {arguments.responses} responses"
    print("\n".join(phase_rows(title, took)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
