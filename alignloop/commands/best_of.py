"""`python -m alignloop best-of`: rejection sampling, the best of n responses as demonstrations.

It draws n responses to each training prompt, keeps the one that scores best and writes it as a
demonstration, for `sft.extra_demonstrations` in params.yaml or as a source of another run (arXiv 2307.09288,
§3.2.3).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from alignloop import params as parameters
from alignloop.core.best_of_n import expected_value, kl_if_all_differ, kl_measured, win_probabilities
from alignloop.core.models import context_of, load_policy
from alignloop.core.reward_model import RewardModel
from alignloop.data.record_files import read, write
from alignloop.evaluation.best_of_n_report import draw_pool
from alignloop.inference.open_sampler import open_sampler
from alignloop.records import Demonstration, Message, Prompt
from alignloop.seeds import seed_of
from alignloop.tool_turns import ToolCall
from alignloop.tools.call_form import BrokenCall
from alignloop.tools.demonstrations import calls_in
from alignloop.tools.responder import open_responder
from alignloop.training.scoring import scorer


def command(arguments: Sequence[str]) -> int:
    """Write the best responses of a policy to training prompts as demonstrations."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.n < 1:
        parser.error(f"--n {options.n}: one response at least")
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit {options.limit}: one prompt at least")
    params = parameters.load(Path("params.yaml"))
    policy, tokenizer = load_policy(options.policy)
    prompts = read(options.prompts, Prompt)[: options.limit]
    with (
        open_responder(params.tools, tokenizer) as responder,
        open_sampler(params.rollout, options.policy) as sampler,
    ):
        room = responder.room(context_of(policy), params.decoding.max_new_tokens)
        rows, _ = responder.prompt_rows(tokenizer, prompts, room)
        pool = draw_pool(
            policy,
            tokenizer,
            [ids for _, ids in rows],
            score=scorer(RewardModel.load(options.reward), tokenizer),
            size=options.n,
            temperature=params.decoding.temperature,
            decoding=params.decoding,
            generator=torch.Generator().manual_seed(seed_of(params.seed, "best-of", "best of")),
            sampler=sampler,
            responder=responder,
            say=lambda done: print(f"{done:,}/{len(rows):,} prompts", flush=True),
        )
        scores, n = pool.scores, options.n
        places = [int(place) for place in win_probabilities(scores, n).argmax(1)]
        best = [
            (texts[at], turns[at]) for texts, turns, at in zip(pool.texts, pool.turns, places, strict=True)
        ]
        demonstrations: list[Demonstration] = []
        empty = broken = 0
        for (prompt, _), (text, turns) in zip(rows, best, strict=True):
            if not text.strip():
                empty += 1
                continue
            try:
                calls = calls_in(responder.tools, turns) if responder.tools and turns else ()
            except BrokenCall:
                broken += 1
                continue
            demonstrations.append(_demonstration(prompt, text, n, calls))
    count = write(options.out, demonstrations)
    mean, of_best = float(scores.mean()), float(expected_value(scores, scores, n).mean())
    kl = float(kl_measured(scores, n).mean())
    print(
        f"{count:,} demonstrations in {options.out}; {empty:,} best responses were empty"
        f"{f', {broken:,} made a call that cannot be read' if broken else ''}\n"
        f"mean score {mean:.3f} of one response, {of_best:.3f} of the best of {n}\n"
        f"KL {kl_if_all_differ(n):.2f} nats per response if no two responses scored alike, {kl:.2f} measured"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m alignloop best-of",
        description="Rejection sampling: the best of n responses as demonstrations.",
    )
    parser.add_argument("--policy", type=Path, required=True, help="the policy to draw from, e.g. models/sft")
    parser.add_argument(
        "--reward", type=Path, required=True, help="the reward model that chooses, e.g. models/r3/reward"
    )
    parser.add_argument("--prompts", type=Path, default=Path("data/prompts/train.jsonl"))
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--limit", type=int, help="use only the first LIMIT prompts")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a file of demonstrations, for sft.extra_demonstrations or data/sources",
    )
    return parser


def _demonstration(prompt: Prompt, text: str, n: int, calls: tuple[ToolCall, ...]) -> Demonstration:
    common = prompt.model_dump(include={"user", "category", "time", "source"})
    messages = (*prompt.messages, Message(role="assistant", content=text))
    return Demonstration(
        id=f"best-of-{n}-{prompt.id}",
        messages=messages,
        labeler=f"best-of-{n}",
        origin=prompt.origin,
        calls=calls,
        **common,
    )
