"""Decoding here and by transformers' `generate`, in turn: response tokens per second.

    python -m benchmarks.decoding                       # the 2 × 128 Llama of benchmarks.peers
    python -m benchmarks.decoding --shape 8x384 --same 4
    python -m benchmarks.decoding --cache static        # `generate` with StaticCache; or compiled

Both draw at temperature 1 from the whole vocabulary, for the same prompts, with the same number of threads:
here that many passes at a time, there that many threads of one pass. `--same` draws so many responses to each
prompt, which share its prefill here. Ours also returns log-probabilities. The ratio is of a pair of runs.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import CompileConfig, logging

from alignloop.core import parallel_passes
from alignloop.core.generate import sample
from alignloop.core.models import load_policy, token_rules
from alignloop.core.tokens import pad_left
from benchmarks.peers import RESPONSE, SHAPES, make, spread

COMPILED: Any = CompileConfig(fullgraph=False, mode="default")
COMPILED._compile_all_devices = True  # else a CPU is left out
CACHES: dict[str, dict[str, Any]] = {
    "dynamic": {},
    "static": {"cache_implementation": "static", "disable_compile": True},
    "compiled": {"cache_implementation": "static", "compile_config": COMPILED},
}


def measure(
    root: Path, rows: int, same: int, *, threads: int, pairs: int, cache: str
) -> list[tuple[float, float, float]]:
    """Response tokens per wall second here and there, and the ratio of those per processor second."""
    policy, tokenizer = load_policy(root / "policy")
    rules = token_rules(tokenizer, policy)
    distinct = json.loads((root / "prompts.json").read_text(encoding="utf-8"))[: rows // same]
    prompts = [prompt for prompt in distinct for _ in range(same)]
    ids, mask = pad_left(distinct, rules.pad)

    def ours() -> int:
        torch.set_num_threads(1)
        parallel_passes.use(threads)
        generator = torch.Generator().manual_seed(1)
        options = {"temperature": 1.0, "max_new_tokens": RESPONSE, "generator": generator, "batch": rows}
        return sum(map(len, sample(policy, prompts, rules, **options).ids))

    def theirs() -> int:
        parallel_passes.use(1)
        torch.set_num_threads(threads)
        options = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "pad_token_id": rules.pad}
        options |= {"max_new_tokens": RESPONSE, "num_return_sequences": same, "eos_token_id": rules.end}
        options |= CACHES[cache]
        generate = cast(Callable[..., Tensor], policy.generate)
        drawn = generate(input_ids=ids, attention_mask=mask.long(), **options)[:, ids.shape[1] :]
        ended = (drawn == rules.end).int()
        return int((ended.cumsum(1) - ended == 0).sum())

    found = []
    for pair in range(pairs + 1):  # the first warms up
        speeds = []
        for draw in (ours, theirs):
            wall, cpu = time.perf_counter(), time.process_time()
            tokens = draw()
            speeds.append((tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu)))
        if pair:
            (here, here_cpu), (there, there_cpu) = speeds
            found.append((here, there, here_cpu / there_cpu))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="2x128", help=f"{', '.join(SHAPES)}, or a checkpoint's folder")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--same", type=int, default=1, help="responses to each prompt")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cache", choices=list(CACHES), default="dynamic", help="of `generate`")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), arguments.shape)
        sizes = {"threads": arguments.threads, "pairs": arguments.pairs, "cache": arguments.cache}
        found = measure(Path(folder), arguments.rows, arguments.same, **sizes)
        here, there, cpu = zip(*found, strict=True)
    ratios = [one / other for one, other in zip(here, there, strict=True)]
    print(f"| model | rows | tokens/s | `generate`, {arguments.cache} cache | ratio | ratio per CPU second |")
    print("|---|---:|---:|---:|---:|---:|")
    print(
        f"| {Path(arguments.shape).name} | {arguments.rows} | {sum(here) / len(here):,.0f} "
        f"| {sum(there) / len(there):,.0f} | {spread(ratios)} | {spread(list(cpu))} |"
    )


if __name__ == "__main__":
    main()
