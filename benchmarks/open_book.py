"""What a search is worth: questions about facts that no weights hold, with a search and without, by stage.

    python -m benchmarks.open_book --seed 1 --out open_book

A base learns from text and from dialogues that search; SFT from demonstrations that search, of which a third
states something else, cites what was not found or cites nothing; PPO from whether responses are supported
by what they cite. Asked is about documents of another seed, which no stage has seen: their index takes the
place of the first, as when a collection of documents is replaced. Best of n is chosen by PPO's score, of
SFT's responses. Intervals are of 95 %, and count what is asked about one fact as one piece of evidence.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import torch

from alignloop.core.models import context_of, load_policy, token_rules
from alignloop.core.sampler import OwnSampler
from alignloop.data.record_files import read, write
from alignloop.files import write_json
from alignloop.params.binding import bind
from alignloop.params.tools import Tools
from alignloop.records import Message, Prompt
from alignloop.retrieval.citations import Checked, check, search_answers
from alignloop.retrieval.documents import Document, read_folder
from alignloop.retrieval.index import build
from alignloop.scoring.supported import cited_passages
from alignloop.seeds import seed_of
from alignloop.stages.ppo import ppo
from alignloop.tool_turns import Turns
from alignloop.tools.open_book import LICENCE, SHOWN, library_of, write_library
from alignloop.tools.responder import open_responder
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.encoding import prompt_rows
from alignloop.world.behaviours import documented
from alignloop.world.reading import Reading
from alignloop.world.support import supported
from benchmarks.laboratory import Laboratory, load

OTHER = 1000  # added to the seed: of the documents that are asked about in the end
THINGS = 48
ASKED = 2  # times about each fact
N = 4  # responses of which the best is taken
FUNCTION = "alignloop.tools.search:search"
CHANGES: dict[str, Any] = {
    "ingest": {
        "world": {
            "users": 200,
            "prompts": 60,
            "demonstrations": 100,
            "documents": 1500,
            "documented": {"things": 96, "prompts": 400, "demonstrations": 600, "dialogues": 1000},
        }
    },
    "pretrain": {"context": 448, "epochs": 3},
    "decoding": {"max_new_tokens": 40},
    "tools": {"max_calls": 1, "answer_tokens": 140},
    "ppo": {
        "score": {
            "supported": {"kind": "supported", "judge": None, "weight": 1.0},
            "cited": {"kind": "citations", "weight": 0.5},
        },
        "steps": 16,
        "prompts_per_step": 16,
        "responses_per_prompt": 4,
        "minibatches": 2,
        "advantages": "rloo",
        "value_warmup_steps": 0,
        "learning_rate": 5.0e-4,
        "kl": {"coef": 0.05},
        "ptx_coef": 0.0,
        "guards": {},
    },
}


@dataclass(frozen=True)
class Response:
    """A response to a question about a documented fact, and what is true of it."""

    text: str
    fact: str  # what was asked: its questions are no independent evidence
    right: bool  # states the value of the fact, and no other
    searched: bool
    supported: bool  # states nothing that is not in a passage that it cites
    found: Checked

    @property
    def score(self) -> float:
        """PPO's score."""
        return self.supported + 0.5 * self.found.citation_score


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all stages in one folder, which keeps what is done, and print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.open_book", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("open_book"))
    options = parser.parse_args(arguments)
    root, began = options.out.resolve(), monotonic()
    learned, fresh = root / "data/learned.sqlite", root / "data/fresh.sqlite"
    tools = {**CHANGES["tools"], "functions": [_search(learned)]}
    lab = Laboratory(root, load({**CHANGES, "tools": tools, "seed": options.seed}))
    lab.set_up(None)
    _index(root / "data/raw/library", learned)
    prompts = _fresh(options.seed, root, fresh)
    _improve(lab)
    without = lab.params.tools.model_copy(update={"functions": []})
    seen = Tools.model_validate({**lab.params.tools.model_dump(), "functions": [_search(fresh)]})
    rows = {
        "base, without the search": _measure(lab, "base", prompts, without),
        "base, with it": _measure(lab, "base", prompts, seen),
        "SFT, without it": _measure(lab, "sft", prompts, without),
        "SFT, with it": _measure(lab, "sft", prompts, seen),
        "PPO, without it": _measure(lab, "policy", prompts, without),
        "PPO, with it": _measure(lab, "policy", prompts, seen),
        f"best of {N} of SFT, without it": _best(_measure(lab, "sft", prompts, without, n=N), N),
        f"best of {N} of SFT, with it": _best(_measure(lab, "sft", prompts, seen, n=N), N),
    }
    write_json(root / "open_book.json", {name: _numbers(row) for name, row in rows.items()})
    print(
        "| policy | right | searched | supported | cites | made-up citations |\n"
        "|---|---:|---:|---:|---:|---:|"
    )
    for name, row in rows.items():
        numbers = _numbers(row)
        shown = [_shown(numbers[key]) for key in ("right", "searched", "supported", "cites", "made_up")]
        print(f"| {name} | {' | '.join(shown)} |")
    print(f"{len(prompts):,} questions about {THINGS} things; {(monotonic() - began) / 60:.0f} minutes")


def _search(index: Path) -> dict[str, Any]:
    """The search of an index, as params.yaml has it."""
    return {"function": FUNCTION, "network": False, "settings": {"index": str(index), "passages": SHOWN}}


def _index(folder: Path, place: Path) -> None:
    build(place, [each for each in read_folder(folder, LICENCE, None) if isinstance(each, Document)])


def _fresh(seed: int, root: Path, index: Path) -> list[Prompt]:
    """Questions about documents that nothing has learned from, and their index."""
    facts = documented.make_documented(seed + OTHER, THINGS)
    folder = root / "data/fresh"
    if not folder.exists():
        write_library(folder, library_of(facts))
    _index(folder, index)
    rng = Random(seed_of(seed, "open book", "fresh"))
    return [
        Prompt(
            id=f"fresh-{number}",
            messages=(Message(role="user", content=fact.question(rng)),),
            user="nobody",
            category="documented",
            source="world",
            key={"behaviour": "documented", **fact.key()},
        )
        for number, fact in enumerate(fact for fact in facts.all for _ in range(ASKED))
    ]


def _improve(lab: Laboratory) -> None:
    """PPO on the questions about the first documents."""
    out = lab.model("policy")
    if out.exists():
        return
    known = read(lab.root / "data/prompts/train.jsonl", Prompt)
    asked = lab.root / "data/documented"
    write(asked / "train.jsonl", [each for each in known if each.category == "documented"])
    places = {
        "start": lab.model("sft"),
        "reward": lab.model("none"),
        "sft": lab.model("sft"),
        "prompts": asked,
        "corpus": lab.root / "data/corpus",
        "out": out,
        "rollouts": lab.root / "data/policy",
        "metrics": lab.root / "metrics/ppo.json",
        "plots": lab.root / "plots/ppo.csv",
    }
    for step in bind(ppo, lab.params)(Checkpoint.fresh(lab.root, "ppo"), "r1", **places):
        print(
            step.step,
            {name: round(step.metrics[name], 3) for name in ("score", "kl", "tool_calls")},
            flush=True,
        )


def _measure(lab: Laboratory, name: str, prompts: list[Prompt], tools: Tools, n: int = 1) -> list[Response]:
    """The responses of a model, n to each prompt."""
    model, tokenizer = load_policy(lab.model(name))
    decoding, sampler = lab.params.decoding, OwnSampler()
    sampler.follow(model)
    with open_responder(tools, tokenizer) as responder:
        room = responder.room(context_of(model), decoding.max_new_tokens)
        rows, too_long = prompt_rows(tokenizer, prompts, room, responder.encode_prompt)
        assert not too_long, "all rows must be of the same prompts"
        drawn = responder.sampler(sampler).draw(
            [ids for _, ids in rows for _ in range(n)],
            token_rules(tokenizer, model),
            temperature=lab.params.evaluate.temperature,
            max_new_tokens=decoding.max_new_tokens,
            generator=torch.Generator().manual_seed(seed_of(lab.params.seed, "open book", name)),
            batch=decoding.responses_per_batch,
        )
        asked = [prompt for prompt, _ in rows for _ in range(n)]
        return [
            _judged(prompt, responder.text(ids), responder.turns(ids))
            for prompt, ids in zip(asked, drawn.ids, strict=True)
        ]


def _judged(prompt: Prompt, text: str, turns: Turns | None) -> Response:
    answers = search_answers(turns)
    key = prompt.key or {}
    return Response(
        text,
        fact=f"{key['subject']} {key['attribute']}",
        right=documented.verdict(key, Reading(text)).fault is None,
        searched=bool(answers),
        supported=supported(prompt, text, cited_passages(text, answers)),
        found=check(text, answers),
    )


def _best(responses: list[Response], n: int) -> list[Response]:
    """Of each n responses to a prompt the first with the highest score."""
    groups = [responses[start : start + n] for start in range(0, len(responses), n)]
    return [max(group, key=lambda each: each.score) for group in groups]


def _numbers(row: list[Response]) -> dict[str, list[float]]:
    """Shares with the half of their 95 % interval, and of how many."""
    cited = [each for each in row if each.found.cited]
    made_up = [(each.fact, number in each.found.made_up) for each in cited for number in each.found.cited]
    return {
        "right": share([(each.fact, each.right) for each in row]),
        "searched": share([(each.fact, each.searched) for each in row]),
        "supported": share([(each.fact, each.supported) for each in row]),
        "cites": share([(each.fact, bool(each.found.cited)) for each in row]),
        "made_up": share(made_up),
    }


def share(flags: list[tuple[str, bool]]) -> list[float]:
    """The share of true flags, the half of its 95 % interval, and how many there are; each has its fact.

    Flags of one fact are one cluster: the variance of the share is that of the clusters' sums of deviations.
    """
    if not flags:
        return []
    mean = sum(flag for _, flag in flags) / len(flags)
    sums: dict[str, float] = defaultdict(float)
    for fact, flag in flags:
        sums[fact] += flag - mean
    spread = sum(each**2 for each in sums.values()) * len(sums) / max(len(sums) - 1, 1)
    return [mean, 1.96 * sqrt(spread) / len(flags), len(flags)]


def _shown(found: list[float]) -> str:
    return f"{found[0]:.3f} ± {found[1]:.3f}" if found else "–"


if __name__ == "__main__":
    main()
