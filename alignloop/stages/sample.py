"""K answers per prompt from the newest policy, for labelers to rank."""

from collections.abc import Iterator
from pathlib import Path

import torch

from alignloop.core.generate import sample as draw
from alignloop.core.models import context_of, load_policy, token_rules
from alignloop.core.tokens import decode
from alignloop.data.record_files import read, write
from alignloop.files import write_json
from alignloop.params import Params
from alignloop.progress import Progress
from alignloop.records import Prompt, Samples, Split
from alignloop.seeds import draws, seed_of
from alignloop.training.encoding import prompt_rows

PROMPTS_PER_CALL = 128


def sample(
    params: Params, round: str, policy: Path, prompts: Path, out: Path, metrics: Path
) -> Iterator[Progress]:
    """Draw answers to fresh prompts of training users, and to some of validation users."""
    model, tokenizer = load_policy(policy)
    rules = token_rules(tokenizer, model)
    room = context_of(model) - params.decoding.max_new_tokens
    chosen: list[tuple[Split, Prompt, list[int]]] = []
    too_long, short = 0, list[str]()
    splits: tuple[tuple[Split, int], ...] = (
        ("train", params.sample.prompts),
        ("valid", params.sample.valid_prompts),
    )
    for split, wanted in splits:
        rows, left_out = prompt_rows(
            tokenizer, read(prompts / f"{split}.jsonl", Prompt, allow_empty=split == "valid"), room
        )
        order = draws(params.seed, "sample", round, split).permutation(len(rows))[:wanted]
        for index in order:
            prompt, ids = rows[index]
            chosen.append((split, prompt, ids))
        too_long += left_out
        if len(order) < wanted:
            key = "prompts" if split == "train" else "valid_prompts"
            short.append(
                f"sample.{key} asks for {wanted:,}, and there are {len(order):,}: lower it, or bring more"
            )
    generator = torch.Generator().manual_seed(seed_of(params.seed, "sample", round))
    records: list[Samples] = []
    ended = tokens = 0
    for start in range(0, len(chosen), PROMPTS_PER_CALL):
        part = chosen[start : start + PROMPTS_PER_CALL]
        repeated = [ids for _, _, ids in part for _ in range(params.sample.k)]
        answers = draw(
            model,
            repeated,
            rules,
            temperature=params.decoding.temperature,
            max_new_tokens=params.decoding.max_new_tokens,
            generator=generator,
            batch=params.decoding.batch,
        )
        texts = [decode(tokenizer, ids) for ids in answers.ids]
        ended += sum(answers.ended)
        tokens += sum(map(len, answers.ids))
        for place, (split, prompt, _) in enumerate(part):
            responses = tuple(texts[place * params.sample.k : (place + 1) * params.sample.k])
            name = f"{round}-{prompt.id}"
            records.append(
                Samples(
                    id=name, prompt=prompt, responses=responses, policy=str(policy), round=round, split=split
                )
            )
        note = "; ".join(short) if start == 0 else ""
        yield Progress(len(records), len(chosen), {"ended": ended / (len(records) * params.sample.k)}, note)
    write(out, records)
    answers_drawn = len(records) * params.sample.k
    numbers = {"prompts": len(records), "answers": answers_drawn, "too_long": too_long}
    write_json(metrics, {**numbers, "ended": ended / answers_drawn, "length": tokens / answers_drawn})
