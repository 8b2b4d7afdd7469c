"""Demonstrations by a larger model of ours, against those of the built-in environment.

    python -m benchmarks.teacher --seeds 1 2 --out teacher.json

In each seed a teacher learns from all of the environment's demonstrations and is served on the loopback;
`distill` asks it about n prompts. Students of one smaller size, from one base model, then learn from the n
teacher demonstrations, from n of the environment's, and from 4n of them. All are measured by the ground-truth
(gold) score of their responses to the same test prompts.
"""

import argparse
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import NormalDist, fmean, stdev
from typing import Any

import torch
import yaml
from transformers import logging

from alignloop.core.models import context_of, load_policy, token_rules
from alignloop.core.sampler import OwnSampler
from alignloop.core.tokens import decode
from alignloop.data.record_files import read, write
from alignloop.files import write_json
from alignloop.params.binding import bind
from alignloop.records import Demonstration, Message, Prompt
from alignloop.seeds import draws, seed_of
from alignloop.stages.pretrain import pretrain
from alignloop.stages.sft import sft
from alignloop.teacher.distillation import Distillation, Summary
from alignloop.teacher.plan import load_plan
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.encoding import prompt_rows
from alignloop.world.gold import judge
from benchmarks.claims import interval
from benchmarks.laboratory import PROJECT, Laboratory, load, merged

ARMS = ("n by the teacher", "n by the environment", "4n by the environment")
TEACHER = "the teacher itself"
PAIRS = ((ARMS[0], ARMS[1]), (ARMS[0], ARMS[2]), (ARMS[2], ARMS[1]))
CHANCE = NormalDist().inv_cdf(0.975)


class Served:
    """A policy that replies to chat completions, one at a time."""

    def __init__(self, path: Path, max_new_tokens: int) -> None:
        self._model, self._tokenizer = load_policy(path)
        self._sampler, self._most = OwnSampler(), max_new_tokens
        self._sampler.follow(self._model)
        self._lock = threading.Lock()

    def reply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A chat completion of OpenAI's form."""
        turns = tuple(Message.model_validate(turn) for turn in body["messages"])
        prompt = Prompt(id="asked", messages=turns, user="distill", source="distill")
        [(_, ids)], _ = prompt_rows(self._tokenizer, [prompt], context_of(self._model) - self._most)
        with self._lock:
            drawn = self._sampler.draw(
                [ids],
                token_rules(self._tokenizer, self._model),
                temperature=body["temperature"],
                max_new_tokens=min(self._most, body["max_tokens"]),
                generator=torch.Generator().manual_seed(body["seed"]),
                batch=1,
            )
        message = {"role": "assistant", "content": decode(self._tokenizer, drawn.ids[0])}
        return {
            "model": body["model"],
            "choices": [{"message": message, "finish_reason": "stop" if drawn.ended[0] else "length"}],
            "usage": {"prompt_tokens": len(ids), "completion_tokens": len(drawn.ids[0])},
        }


class Handler(BaseHTTPRequestHandler):
    served: Served

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = json.dumps(self.served.reply(body)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(served: Served) -> Iterator[str]:
    """The address of the policy while it is served on the loopback."""
    handler = type("Serving", (Handler,), {"served": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def run(work: Path, seed: int, n: int, temperature: float, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The gold scores of one seed's responses, by model; what exists in `work` is not computed again."""
    plain = {key: value for key, value in sizes.items() if key != "student"}
    teacher = Laboratory(work / "teacher", load({**plain, "seed": seed}))
    params = load(merged({**plain, "seed": seed}, sizes["student"]))
    torch.set_num_threads(params.threads)
    teacher.set_up(None)
    data = teacher.root / "data"
    taught = _distilled(work, teacher, n, temperature)
    own = read(data / "demonstrations/train.jsonl", Demonstration)
    order = draws(seed, "benchmark", "demonstrations").permutation(len(own))
    count = len(taught)  # some replies may be left out
    if len(own) < 4 * count:
        raise SystemExit(f"{len(own):,} training demonstrations are fewer than 4n; lower --n")
    chosen = {
        ARMS[0]: taught,
        ARMS[1]: [own[place] for place in order[:count]],
        ARMS[2]: [own[place] for place in order[: 4 * count]],
    }
    student = work / "student"
    places = (data / "corpus", student / "base", student / "base.json", student / "base.csv")
    _unless(places[1], bind(pretrain, params)(Checkpoint.fresh(student, "pretrain"), *places))
    models = {TEACHER: teacher.model("sft")}
    for number, (arm, demonstrations) in enumerate(chosen.items()):
        folder = student / f"demonstrations-{number}"
        write(folder / "train.jsonl", demonstrations)
        write(folder / "valid.jsonl", read(data / "demonstrations/valid.jsonl", Demonstration))
        out = models[arm] = student / f"sft-{number}"
        files = (student / f"sft-{number}.json", student / f"sft-{number}.csv")
        places = (student / "base", folder, data / "corpus", out, *files)
        _unless(out, bind(sft, params)(Checkpoint.fresh(student, f"sft-{number}"), *places))
    prompts = read(data / "prompts/test.jsonl", Prompt)[: params.evaluate.prompts]
    golds = {name: _golds(path, prompts, params, seed) for name, path in models.items()}
    passed = fmean(_passed(taught, data))
    return {"seed": seed, "n": len(taught), "demonstrations that pass": passed, "golds": golds}


def _distilled(work: Path, teacher: Laboratory, n: int, temperature: float) -> list[Demonstration]:
    """The demonstrations that `distill` gets from the teacher for n training prompts."""
    out = work / "teacher.jsonl"
    if not out.exists():
        (work / "data").mkdir(parents=True, exist_ok=True)
        (work / "data" / "forgotten.txt").touch()
        with serving(Served(teacher.model("sft"), teacher.params.decoding.max_new_tokens)) as url:
            plan = yaml.safe_load((PROJECT / "configs" / "teacher.yaml").read_text(encoding="utf-8"))
            plan["teacher"] |= {"url": url, "terms": "Apache-2.0", "temperature": temperature}
            # the environment has prompts that are to be declined
            plan |= {
                "prompts": "teacher/data/prompts/train.jsonl",
                "out": out.name,
                "limit": n,
                "refusals": [],
            }
            (work / "plan.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
            with closing(Distillation(load_plan(work / "plan.yaml"), work)) as distillation:
                summary = [each for each in distillation.run() if isinstance(each, Summary)][-1]
        print(
            f"{summary.demonstrations} demonstrations, {summary.spent}; {summary.left_out or 'none left out'}"
        )
    return read(out, Demonstration)


def _passed(taught: Sequence[Demonstration], data: Path) -> list[bool]:
    """Whether each teacher demonstration passes by the ground-truth score."""
    keys = {prompt.messages: prompt for prompt in read(data / "prompts/train.jsonl", Prompt)}
    return [judge(keys[each.messages[:-1]], each.messages[-1].content).passed for each in taught]


def _golds(path: Path, prompts: Sequence[Prompt], params: Any, seed: int) -> list[float]:
    """The gold score of a model's response to each prompt."""
    model, tokenizer = load_policy(path)
    most = params.decoding.max_new_tokens
    rows, _ = prompt_rows(tokenizer, prompts, context_of(model) - most)
    sampler = OwnSampler()
    sampler.follow(model)
    drawn = sampler.draw(
        [ids for _, ids in rows],
        token_rules(tokenizer, model),
        temperature=params.evaluate.temperature,
        max_new_tokens=most,
        generator=torch.Generator().manual_seed(seed_of(seed, "benchmark", "evaluate")),
        batch=params.decoding.responses_per_batch,
    )
    texts = [decode(tokenizer, ids) for ids in drawn.ids]
    return [judge(prompt, text).score for (prompt, _), text in zip(rows, texts, strict=True)]


def _unless(out: Path, stage: Iterator[Any]) -> None:
    if not out.exists():
        for _ in stage:
            pass


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Mean gold scores, and their differences with 95 % intervals: over seeds, and over prompts."""
    lines = [
        "| student, or difference | gold | 95 % over seeds | 95 % over prompts | seeds |",
        "|---|---|---|---|---|",
    ]
    for name in (TEACHER, *ARMS):
        lines.append(_line(name, [result["golds"][name] for result in results]))
    for one, other in PAIRS:
        apart = [
            [a - b for a, b in zip(result["golds"][one], result["golds"][other], strict=True)]
            for result in results
        ]
        lines.append(_line(f"{one} less {other}", apart))
    return "\n".join(lines) + "\n"


def _line(name: str, by_seed: Sequence[Sequence[float]]) -> str:
    means = [fmean(values) for values in by_seed]
    mean, low, high = interval(means)
    pooled = [value for values in by_seed for value in values]
    reach = CHANCE * stdev(pooled) / len(pooled) ** 0.5
    seeds = " ".join(f"{each:.3f}" for each in means)
    over_seeds = f"[{low:.3f}, {high:.3f}]" if len(means) > 1 else "one seed"
    return f"| {name} | {mean:.3f} | {over_seeds} | ±{reach:.3f} | {seeds} |".replace("-", "−")


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.teacher", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--n", type=int, default=300, help="demonstrations by the teacher")
    parser.add_argument("--temperature", type=float, default=0.5, help="at which the teacher answers")
    parser.add_argument("--sizes", type=Path, default=Path(__file__).with_suffix(".yaml"))
    parser.add_argument("--out", type=Path, help="a JSON file of all numbers")
    parser.add_argument("--work", type=Path, help="a folder to work in, and to resume from")
    options = parser.parse_args()
    logging.set_verbosity_error()
    sizes = yaml.safe_load(options.sizes.read_text(encoding="utf-8"))
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for seed in options.seeds:
            work = (options.work or Path(temporary)).absolute() / f"seed-{seed}"
            results.append(run(work, seed, options.n, options.temperature, sizes))
            share = results[-1]["demonstrations that pass"]
            print(f"seed {seed}: {results[-1]['n']} by the teacher, {share:.1%} of them pass", flush=True)
            print(table(results), flush=True)
    if options.out:
        write_json(options.out, {"results": results})


if __name__ == "__main__":
    main()
