"""Many streams of the API against one-by-one decoding: tokens per second, and time to the first token.

`python -m benchmarks.serving` serves a model of the sizes in params.yaml with random weights (speed depends
on the sizes), or `--checkpoint FOLDER`, in a process of its own, and asks it over HTTP as programs do.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alignloop.pipeline import environment

environment.configure()
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402

from alignloop import params as parameters  # noqa: E402
from alignloop.core.generate import sample  # noqa: E402
from alignloop.core.models import load_policy, new_policy, save_policy, token_rules  # noqa: E402
from alignloop.core.tokens import encode_prompt, train_tokenizer  # noqa: E402
from alignloop.determinism import make_deterministic  # noqa: E402
from alignloop.labeling import api_keys  # noqa: E402
from alignloop.labeling.database import LabelingDatabase  # noqa: E402
from alignloop.serving.engine import EngineSettings  # noqa: E402
from alignloop.serving.local_engine import LocalEngine  # noqa: E402
from alignloop.serving.served_version import ServedVersion  # noqa: E402

ROOT = Path(__file__).parents[1]
NAME = "alignloop-policy@champion"
QUESTION = "Is the sea full of salt, and who says so?"


@dataclass(frozen=True)
class Folder:
    """A checkpoint on disk as the only model."""

    place: Path

    def versions(self) -> list[ServedVersion]:
        return [ServedVersion("alignloop-policy/1", ("champion",), str(self.place))]

    def open(self, version: ServedVersion, settings: EngineSettings) -> LocalEngine:
        return LocalEngine(*load_policy(self.place), settings)


@dataclass(frozen=True)
class Stream:
    """One response as its client saw it: tokens, and seconds to the first text and to the end."""

    tokens: int
    first: float
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser("python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="instead of a model with random weights")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--requests", type=int, default=4, help="of each stream, one after the other")
    parser.add_argument("--alone", type=int, default=24, help="requests of one client alone")
    parser.add_argument("--max-tokens", type=int, default=40)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        _measure(options, Path(folder))


def _measure(options: argparse.Namespace, folder: Path) -> None:
    params = parameters.load(ROOT / "params.yaml")
    place = options.checkpoint or _random_policy(folder / "policy", params)
    database = f"sqlite:///{folder}/people/labeling.db"
    opened = LabelingDatabase(database)
    key = api_keys.create(opened, "benchmark", ["chat"], None, None)
    opened.close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=_serve, args=(str(place), database, port), daemon=True)
    server.start()
    try:
        _await(port)
        body = {"model": NAME, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
        body |= {"max_tokens": options.max_tokens, "stream_options": {"include_usage": True}}

        def ask(seed: int) -> bytes:
            text = json.dumps(body | {"seed": seed})
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            head += f"Authorization: Bearer {key}\r\n"
            return f"{head}Connection: close\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()

        asyncio.run(_clients(port, [[ask(0)] * 3]))  # warm
        alone, alone_seconds = asyncio.run(_clients(port, [[ask(n) for n in range(options.alone)]]))
        plans = [
            [ask(place * 1000 + number) for number in range(options.requests)]
            for place in range(options.streams)
        ]
        many, many_seconds = asyncio.run(_clients(port, plans))
    finally:
        server.kill()
        server.join()
    rows = [
        ("training's sampler, one by one", *_own_sampler(place, options), 0.0, 0.0),
        ("the API, one stream", *_rate(alone, alone_seconds), *_first(alone)),
        (f"the API, {options.streams} streams", *_rate(many, many_seconds), *_first(many)),
    ]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before, responses of at most", end=" ")
    print(f"{options.max_tokens} tokens\n")
    print("| decoding | responses | tokens/s | against one stream | first token, median | p95 |")
    print("|---|---|---|---|---|---|")
    base = rows[1][2]
    for name, count, rate, median, p95 in rows:
        first = (f"{1000 * median:.0f} ms", f"{1000 * p95:.0f} ms") if median else ("", "")
        print(f"| {name} | {count} | {rate:,.0f} | {rate / base:.1f} × | {first[0]} | {first[1]} |")


def _random_policy(place: Path, params: parameters.Params) -> Path:
    """A policy of the sizes in params.yaml, with a tokenizer of the documents' text."""
    texts = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md"))]
    tokenizer = train_tokenizer(texts, params.pretrain.vocabulary)
    plan = params.pretrain
    sizes = {"layers": plan.layers, "width": plan.width, "heads": plan.heads, "context": plan.context}
    save_policy(new_policy(tokenizer, **sizes, seed=params.seed), tokenizer, place)
    return place


def _serve(place: str, database: str, port: int) -> None:
    import uvicorn

    from alignloop.labeling import consent
    from alignloop.rules.rule_set import RuleSet
    from alignloop.serving.model_pool import ModelPool
    from alignloop.web.chat_app import create_chat_app

    params = parameters.load(ROOT / "params.yaml")
    make_deterministic(params, "serving")
    plan = params.serving.model_copy(update={"url": f"http://127.0.0.1:{port}"})
    limits = EngineSettings(plan.max_running, plan.max_waiting, plan.batch_tokens)
    pool = ModelPool(
        Folder(Path(place)), limits, standard=NAME, most_loaded=1, refresh_seconds=plan.refresh_seconds
    )
    pool.start()
    statement = consent.read_statement(ROOT, plan.consent, plan.feedback_licence)
    app = create_chat_app(LabelingDatabase(database), plan, pool, RuleSet({}), statement)
    uvicorn.run(app, port=port, log_level="warning", access_log=False, lifespan="off", ws="none")


def _await(port: int) -> None:
    deadline = time.monotonic() + 300
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise SystemExit("serving: the server did not start within 300 s")
        time.sleep(0.1)


async def _clients(port: int, plans: Sequence[Sequence[bytes]]) -> tuple[list[Stream], float]:
    """What the clients saw, each of which sends its requests one after the other, and the seconds of all."""

    async def client(requests: Sequence[bytes]) -> list[Stream]:
        return [await _stream(port, request) for request in requests]

    begun = time.perf_counter()
    streams = await asyncio.gather(*map(client, plans))
    return [each for found in streams for each in found], time.perf_counter() - begun


async def _stream(port: int, request: bytes) -> Stream:
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    first, last = 0.0, b""
    async for line in reader:
        if line.startswith(b"data: {"):
            last = line
            if not first and b'"content":"' in line and b'"content":""' not in line:
                first = time.perf_counter() - begun
    writer.close()
    usage = json.loads(last[6:]).get("usage")
    if usage is None:
        raise SystemExit(f"serving: a response failed: {last.decode()[:300]}")
    return Stream(usage["completion_tokens"], first, time.perf_counter() - begun)


def _own_sampler(place: Path, options: argparse.Namespace) -> tuple[int, float]:
    model, tokenizer = load_policy(place)
    torch.set_num_threads(1)
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": QUESTION}])
    rules, generator = token_rules(tokenizer, model), torch.Generator().manual_seed(1)
    begun, tokens = time.perf_counter(), 0
    for _ in range(options.alone):
        more = {"temperature": 1.0, "max_new_tokens": options.max_tokens, "batch": 1}
        tokens += len(sample(model, [prompt], rules, generator=generator, **more).ids[0])
    return options.alone, tokens / (time.perf_counter() - begun)


def _rate(streams: Sequence[Stream], seconds: float) -> tuple[int, float]:
    return len(streams), sum(each.tokens for each in streams) / seconds


def _first(streams: Sequence[Stream]) -> tuple[float, float]:
    times = sorted(each.first for each in streams)
    return times[len(times) // 2], times[min(len(times) - 1, len(times) * 95 // 100)]


if __name__ == "__main__":
    main()
