"""What a device does: products of matrices, decoding, learning and memory, by dtype, on random weights.

    python -m benchmarks.device                                    # auto: a GPU if there is one
    python -m benchmarks.device --device cpu --layers 2 --width 64 --vocabulary 512 --rows 8 --passes 128

On a GPU the defaults are the shape of a 0.5B checkpoint and take some ten minutes. Each line stands by
itself; `of peak` is the learner's arithmetic (6 a weight and token) as a share of the measured product of
matrices in the same precision. Memory is the device's peak over what it held before, next to what
`core/memory_estimate.py` says; on a CPU it is the process's peak, which never falls, so later lines may be 0.
"""

import argparse
import resource
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from alignloop.core import devices, pass_limits, precision
from alignloop.core.generate import sample
from alignloop.core.lm_training import accumulate_gradients
from alignloop.core.memory_estimate import lm_training
from alignloop.core.model_shape import llama_shape
from alignloop.core.pass_memory import PassSizes
from alignloop.core.tokens import Encoded, TokenRules

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


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
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def matmul(size: int, dtype: torch.dtype) -> float:
    """Operations a second of a product of square matrices."""
    one, other = (torch.randn(size, size, device=devices.current(), dtype=dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: one @ other)


def decode(model: LlamaForCausalLM, rows: int, prompt: int, response: int) -> float:
    """Response tokens a second of `core/generate.py`; no token ends a response."""
    vocabulary = model.config.vocab_size
    rules = TokenRules(torch.ones(vocabulary, dtype=torch.bool), end=0, pad=0)
    rules.allowed[0] = False
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randint(1, vocabulary, (rows, prompt), generator=generator).tolist()
    options = {"temperature": 1.0, "max_new_tokens": response, "generator": generator, "batch": rows}
    return rows * response / seconds(lambda: sample(model, prompts, rules, **options), repeats=1)


def learn(model: LlamaForCausalLM, rows: int, length: int) -> tuple[float, int]:
    """Tokens a second of a gradient of the language-model loss, and the peak of its memory in bytes."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, model.config.vocab_size, (rows, length), generator=generator).tolist()
    encoded = [Encoded(row, [True] * length) for row in ids]

    def gradient() -> None:
        model.zero_grad()
        accumulate_gradients(model, encoded, 0)

    peak = peak_of(gradient)
    return rows * length / seconds(gradient, repeats=1), peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--dtypes", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=896)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 256, 1024], help="decoded at a time")
    parser.add_argument("--length", type=int, default=256, help="of a prompt, and of a response")
    parser.add_argument("--passes", type=int, nargs="+", default=[4096, 16_384], help="tokens of a pass")
    parser.add_argument("--head", type=int, default=1024, help="tokens whose logits exist at a time")
    arguments = parser.parse_args()
    devices.use(arguments.device)
    heads, length, inner = arguments.width // 32, arguments.length, -(-arguments.width * 8 // 3 // 32) * 32
    config = LlamaConfig(
        vocab_size=arguments.vocabulary,
        hidden_size=arguments.width,
        intermediate_size=inner,
        num_hidden_layers=arguments.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=2 * length,
        tie_word_embeddings=True,
    )
    torch.manual_seed(1)
    model = devices.place(LlamaForCausalLM(config)).eval()
    weights = sum(weight.numel() for weight in model.parameters())
    name = torch.cuda.get_device_name() if devices.current().type == "cuda" else devices.current().type
    print(
        f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads, {weights:,} weights\n",
        flush=True,
    )
    size = 8192 if devices.current().type == "cuda" else 512
    print("| dtype | what | a second | of peak | memory | estimated |\n|---|---|---:|---:|---:|---:|")
    for dtype in arguments.dtypes:
        precision.use(dtype)
        product = matmul(size, DTYPES[dtype])
        print(
            f"| {dtype} | product of matrices, {size}² | {product / 1e9:,.2f} GFLOP | 1.00 | | |", flush=True
        )
        for rows in arguments.rows:
            pass_limits.use(pass_limits.PassLimits())
            speed = decode(model, rows, length, length)
            print(f"| {dtype} | decoding, {rows} rows | {speed:,.0f} tokens | | | |", flush=True)
        for tokens in arguments.passes:
            pass_limits.use(pass_limits.PassLimits(tokens, arguments.head))
            rows = max(tokens // (2 * length), 1)
            speed, peak = learn(model, rows, 2 * length)
            shape = llama_shape(
                vocabulary=arguments.vocabulary,
                width=arguments.width,
                layers=arguments.layers,
                inner=inner,
                queries=arguments.width,
                keys=arguments.width,
            )
            sizes = PassSizes(tokens, arguments.head, 1, 2 * length, length, bf16=dtype == "bf16")
            parts = lm_training("sft", shape, sizes, rows=rows, keeps_best=False, trainable=weights).parts
            estimated = sum(parts[name] for name in ("gradients", "passes"))
            share = 6 * weights * speed / product
            print(
                f"| {dtype} | learner, passes of {tokens} | {speed:,.0f} tokens | {share:.4f} "
                f"| {peak / 1e6:,.1f} MB | {estimated / 1e6:,.1f} MB |",
                flush=True,
            )
    precision.use("fp32")


if __name__ == "__main__":
    main()
