"""K responses per prompt from the newest policy, for labelers to rank; none where nobody ranks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignloop.core.label_choice import disagreement, most_wanted
from alignloop.core.models import HEAD, context_of, load_policy, token_rules
from alignloop.core.reward_model import HELD_OUT, RewardModel
from alignloop.data.record_files import read, write
from alignloop.files import rounded, write_json
from alignloop.inference.open_sampler import open_sampler
from alignloop.params.label import Label
from alignloop.params.rollout import RolloutEngine
from alignloop.params.sample import Decoding, Sample
from alignloop.params.section import Seed
from alignloop.params.tools import Tools
from alignloop.progress import Progress
from alignloop.records import Prompt, Samples, Split
from alignloop.seeds import draws, seed_of
from alignloop.tool_turns import Turns
from alignloop.tools.responder import Responder, open_responder
from alignloop.training.scoring import scorer

PROMPTS_PER_CALL = 128
NOTHING_DRAWN = {"ended": None, "length": None}


def sample(
    seed: Seed,
    plan: Sample,
    decoding: Decoding,
    tools: Tools,
    labels: Label,
    engine: RolloutEngine,
    round: str,
    policy: Path,
    prompts: Path,
    out: Path,
    metrics: Path,
    reward: Path,
    by: str = "ppo",
) -> Iterator[Progress]:
    """Draw responses to fresh prompts of training users, and to some of validation users.

    With `sample.choose: disagreement`, the round's earlier reward model says which of them are labeled.
    """
    if labels.kind == "imported" or by == "adopted":
        write(out, [])
        write_json(metrics, {**dict.fromkeys(("prompts", "responses", "too_long"), 0), **NOTHING_DRAWN})
        why = "its policy is adopted" if by == "adopted" else "label.kind is imported"
        yield Progress(1, 1, note=f"draws nothing: {why}, so nobody would rank it")
        return
    model, tokenizer = load_policy(policy)
    rules = token_rules(tokenizer, model)
    k = plan.responses_per_prompt
    by_disagreement = plan.choose == "disagreement" and (reward / HEAD).is_file()
    pool = plan
    if by_disagreement:
        pool = plan.model_copy(update={"prompts": plan.training_candidates})
    asked: list[list[int]] = []  # without tools, and what was said in the end: what scores read
    responses: list[list[int]] = []
    ends: list[bool] = []
    generator = torch.Generator().manual_seed(seed_of(seed, "sample", round))
    records: list[Samples] = []
    with open_responder(tools, tokenizer) as responder, open_sampler(engine, policy) as sampler:
        room = responder.room(context_of(model), decoding.max_new_tokens)
        chosen, too_long, notes = _draw(
            seed, pool, tokenizer, responder, round=round, prompts=prompts, room=room
        )
        if plan.choose == "disagreement" and not by_disagreement:
            notes.append(
                f"sample.choose: {reward} is no reward model yet, so this round's prompts are random"
            )
        sampler.follow(model)
        drawing = responder.sampler(sampler)
        for start in range(0, len(chosen), PROMPTS_PER_CALL):
            part = chosen[start : start + PROMPTS_PER_CALL]
            repeated = [ids for _, _, ids in part for _ in range(k)]
            drawn = drawing.draw(
                repeated,
                rules,
                temperature=decoding.temperature,
                max_new_tokens=decoding.max_new_tokens,
                generator=generator,
                batch=decoding.responses_per_batch,
            )
            plain, last = responder.last_turns(repeated, drawn.ids)
            asked += plain
            responses += last
            ends += drawn.ended
            texts = [responder.text(ids) for ids in drawn.ids]
            turns = [responder.turns(ids) for ids in drawn.ids]
            for place, (split, prompt, _) in enumerate(part):
                records.append(
                    Samples(
                        id=f"{round}-{prompt.id}",
                        prompt=prompt,
                        responses=tuple(texts[place * k : (place + 1) * k]),
                        policy=str(policy),
                        round=round,
                        split=split,
                        turns=_known(turns[place * k : (place + 1) * k]),
                    )
                )
            note = "; ".join([*(notes if start == 0 else ()), *responder.new_faults()])
            yield Progress(len(records), len(chosen), {"ended": sum(ends) / (len(records) * k)}, note)
    chosen_by: dict[str, Any] = {}
    if by_disagreement:
        scored = _scores(reward, tokenizer, asked, responses, k)
        places, chosen_by = _most_wanted(plan, [each.split == "train" for each in records], *scored)
        records = [records[place] for place in places]
        drawn_by = [place * k + number for place in places for number in range(k)]
        responses, ends = [responses[each] for each in drawn_by], [ends[each] for each in drawn_by]
    write(out, records)
    count = len(records) * k
    numbers = {"prompts": len(records), "responses": count, "too_long": too_long, **chosen_by}
    write_json(metrics, {**numbers, "ended": sum(ends) / count, "length": sum(map(len, responses)) / count})


def _known(turns: Sequence[Turns | None]) -> tuple[Turns, ...] | None:
    """The turns of a prompt's responses; None without tools."""
    known = tuple(each for each in turns if each is not None)
    return known or None


def _scores(
    reward: Path,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[list[int]],
    responses: Sequence[list[int]],
    k: int,
) -> tuple[Tensor, Tensor | None]:
    """Scores (P, K) of all responses by the reward model, and by that of held-out labelers, if any."""
    found = []
    for folder in (reward, reward / HELD_OUT):
        if (folder / HEAD).is_file():
            score = scorer(RewardModel.load(folder).frozen(), tokenizer)
            found.append(score(asked, responses).view(-1, k))
    return found[0], found[1] if len(found) > 1 else None


def _most_wanted(
    plan: Sample, training_users: Sequence[bool], scores: Tensor, others: Tensor | None
) -> tuple[list[int], dict[str, Any]]:
    """The places of the prompts to label, all of validation among them, and numbers on those of training."""
    training = [place for place, is_training in enumerate(training_users) if is_training]
    mine, theirs = scores[training], None if others is None else others[training]
    chosen = {training[place] for place in most_wanted(mine, theirs, plan.prompts)}
    unsure = dict(zip(training, disagreement(mine, theirs).tolist(), strict=True))
    numbers = {
        "candidates": len(training),
        "disagreement": fmean(unsure[place] for place in chosen),
        "disagreement_of_all": fmean(unsure.values()),
    }
    places = [place for place, is_training in enumerate(training_users) if not is_training or place in chosen]
    return places, rounded(numbers)


def _draw(
    seed: int,
    plan: Sample,
    tokenizer: PreTrainedTokenizerBase,
    responder: Responder,
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
        rows, left_out = responder.prompt_rows(tokenizer, available, room)
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
