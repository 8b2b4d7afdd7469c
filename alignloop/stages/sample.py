"""K responses per prompt from the newest policy, for labelers to rank; none where nobody ranks."""

from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from alignloop.core.models import context_of, load_policy, token_rules
from alignloop.core.tokens import decode
from alignloop.data.record_files import read, write
from alignloop.files import write_json
from alignloop.inference.open_sampler import open_sampler
from alignloop.params.label import Label
from alignloop.params.rollout import RolloutEngine
from alignloop.params.sample import Decoding, Sample
from alignloop.params.section import Seed
from alignloop.progress import Progress
from alignloop.records import Prompt, Samples, Split
from alignloop.seeds import draws, seed_of
from alignloop.training.encoding import prompt_rows

PROMPTS_PER_CALL = 128
NOTHING_DRAWN = {"ended": None, "length": None}


def sample(
    seed: Seed,
    plan: Sample,
    decoding: Decoding,
    labels: Label,
    engine: RolloutEngine,
    round: str,
    policy: Path,
    prompts: Path,
    out: Path,
    metrics: Path,
) -> Iterator[Progress]:
    """Draw responses to fresh prompts of training users, and to some of validation users."""
    if labels.kind == "imported":
        write(out, [])
        write_json(metrics, {**dict.fromkeys(("prompts", "responses", "too_long"), 0), **NOTHING_DRAWN})
        yield Progress(1, 1, note="draws nothing: label.kind is imported, so nobody would rank it")
        return
    model, tokenizer = load_policy(policy)
    rules = token_rules(tokenizer, model)
    room, k = context_of(model) - decoding.max_new_tokens, plan.responses_per_prompt
    chosen, too_long, notes = _choose(seed, plan, tokenizer, round=round, prompts=prompts, room=room)
    generator = torch.Generator().manual_seed(seed_of(seed, "sample", round))
    records: list[Samples] = []
    ended = tokens = 0
    with open_sampler(engine, policy) as sampler:
        sampler.follow(model)
        for start in range(0, len(chosen), PROMPTS_PER_CALL):
            part = chosen[start : start + PROMPTS_PER_CALL]
            drawn = sampler.draw(
                [ids for _, _, ids in part for _ in range(k)],
                rules,
                temperature=decoding.temperature,
                max_new_tokens=decoding.max_new_tokens,
                generator=generator,
                batch=decoding.responses_per_batch,
            )
            texts = [decode(tokenizer, ids) for ids in drawn.ids]
            ended += sum(drawn.ended)
            tokens += sum(map(len, drawn.ids))
            for place, (split, prompt, _) in enumerate(part):
                records.append(
                    Samples(
                        id=f"{round}-{prompt.id}",
                        prompt=prompt,
                        responses=tuple(texts[place * k : (place + 1) * k]),
                        policy=str(policy),
                        round=round,
                        split=split,
                    )
                )
            note = "; ".join(notes) if start == 0 else ""
            yield Progress(len(records), len(chosen), {"ended": ended / (len(records) * k)}, note)
    write(out, records)
    count = len(records) * k
    numbers = {"prompts": len(records), "responses": count, "too_long": too_long}
    write_json(metrics, {**numbers, "ended": ended / count, "length": tokens / count})


def _choose(
    seed: int,
    plan: Sample,
    tokenizer: PreTrainedTokenizerBase,
    *,
    round: str,
    prompts: Path,
    room: int,
) -> tuple[list[tuple[Split, Prompt, list[int]]], int, list[str]]:
    """The round's prompts with token ids, how many were too long, and notes where there are too few."""
    chosen: list[tuple[Split, Prompt, list[int]]] = []
    too_long, notes = 0, list[str]()
    splits: tuple[tuple[Split, int], ...] = (("train", plan.prompts), ("valid", plan.valid_prompts))
    for split, wanted in splits:
        available = read(prompts / f"{split}.jsonl", Prompt, allow_empty=split == "valid")
        rows, left_out = prompt_rows(tokenizer, available, room)
        order = draws(seed, "sample", round, split).permutation(len(rows))[:wanted]
        for index in order:
            prompt, ids = rows[index]
            chosen.append((split, prompt, ids))
        too_long += left_out
        if len(order) < wanted:
            key = "prompts" if split == "train" else "valid_prompts"
            notes.append(
                f"sample.{key} asks for {wanted:,}, and there are {len(order):,}: lower it, or bring more"
            )
    return chosen, too_long, notes
