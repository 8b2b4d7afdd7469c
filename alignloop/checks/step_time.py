"""About how long each stage takes on this machine, from a few passes of the checkpoint."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.checks.data_lengths import SetLengths
from alignloop.checks.findings import Finding
from alignloop.core import precision
from alignloop.core.generate import sample
from alignloop.core.lm_training import accumulate_gradients, mean_loss
from alignloop.core.models import context_of, token_rules, vocabulary_of
from alignloop.core.tokens import Encoded, pad_of
from alignloop.params import Params

SECONDS = 2.5  # that the longest pass of each of the three measurements may take
ROW, PROMPT = 64, 16  # tokens of the rows, and of the prompts
DRAWN = 5  # tokens after each prompt
TYPICAL_PROMPT = 48.0  # tokens, where no data is prepared
MOST_ROWS = 256
WORTH_SAYING = 1.3  # times as fast, from which the other precision is named
ADAPTER_SHARE = 0.7  # of a step in which all weights learn: their gradients are not computed


@dataclass(frozen=True)
class Rates:
    """Tokens a second that are learned from, read without learning, and drawn."""

    learned: float
    read: float
    drawn: float
    learned_otherwise: float  # in the precision that is not set: `compute.precision`


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: Params) -> Rates:
    """Measure them; no weight of the model changes."""
    room = context_of(model)
    length = min(ROW, room)
    prompt = max(1, min(PROMPT, room - DRAWN))
    rules, pad = token_rules(tokenizer, model), pad_of(tokenizer)
    generator = torch.Generator().manual_seed(0)

    def rows(count: int, tokens: int) -> list[list[int]]:
        return torch.randint(vocabulary_of(model), (count, tokens), generator=generator).tolist()

    def learn(count: int) -> int:
        accumulate_gradients(model, [Encoded(ids, [True] * length) for ids in rows(count, length)], pad)
        model.zero_grad(set_to_none=True)
        return count * length

    def read(count: int) -> int:
        mean_loss(model, [Encoded(ids, [True] * length) for ids in rows(count, length)], pad)
        return count * length

    def draw(count: int, tokens: int) -> int:
        drawn = sample(
            model,
            rows(count, prompt),
            rules,
            temperature=1.0,
            max_new_tokens=tokens,
            generator=generator,
            batch=params.decoding.responses_per_batch,
        )
        return sum(map(len, drawn.ids))

    learned, read_rows = _largest(learn, MOST_ROWS), _largest(read, MOST_ROWS)
    otherwise = _seconds_otherwise(learn, learned[0])
    # as many rows as are decoded at a time, if there is time: a step costs little more for many
    most = min(MOST_ROWS, params.decoding.responses_per_batch)
    count = max(1, min(most, int(SECONDS * read_rows[0] * length / read_rows[1] / prompt)))
    first = _seconds(lambda: draw(count, 1))  # the prompts' pass, which counts as reading, and warms up
    first = min(first, _seconds(lambda: draw(count, 1)))
    steps = max(_seconds(lambda: draw(count, DRAWN)) - first, 1e-3)
    drawn = count * (DRAWN - 1) / steps
    return Rates(
        learned=learned[0] * length / learned[1],
        read=read_rows[0] * length / read_rows[1],
        drawn=drawn,
        learned_otherwise=learned[0] * length / otherwise,
    )


def other_precision() -> precision.Precision:
    """The precision of passes that is not set."""
    return "fp32" if precision.current() == "bf16" else "bf16"


def _seconds_otherwise(work: Callable[[int], int], count: int) -> float:
    """The seconds that `work` on `count` rows takes in the other precision."""
    current = precision.current()
    precision.use(other_precision())
    try:
        work(1)  # warms up
        return _seconds(partial(work, count))
    finally:
        precision.use(current)


def check_precision(rates: Rates) -> list[Finding]:
    """Whether the other precision is much faster here: some CPUs multiply bf16, others imitate it."""
    times = rates.learned_otherwise / rates.learned
    if times < WORTH_SAYING:
        return []
    other, severity = other_precision(), "note" if precision.current() == "fp32" else "warning"
    said = f"passes that learn are {times:.1f} times as fast here in {other} as in {precision.current()}"
    return [
        Finding("precision", severity, said, f"set compute.precision: {other}; learned weights stay fp32")
    ]


def _largest(work: Callable[[int], int], most: int) -> tuple[int, float]:
    """As many rows as `work` does in SECONDS, `most` at most, and the seconds that they take."""
    work(1)  # warms up
    count = 1
    while True:
        took = _seconds(partial(work, count))
        if count == most or 2 * took > SECONDS:
            return count, took
        count = min(most, 4 * count, max(count + 1, int(count * SECONDS / took)))


def _seconds(work: Callable[[], int]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def durations(
    params: Params, rates: Rates, sets: Mapping[str, SetLengths], counts: Mapping[str, int]
) -> dict[str, float]:
    """Seconds by stage; those of rounds hold for one round.

    `sets` are the lengths of the prepared data, `counts` its records by "set/split"; a stage whose data is
    not known is left out. Responses are as long as those of demonstrations, or take all their tokens.
    """
    response = float(params.decoding.max_new_tokens)
    if "demonstrations" in sets:
        response = min(response, sets["demonstrations"].response)
    prompt = sets["prompts"].tokens if "prompts" in sets else TYPICAL_PROMPT
    row = prompt + response
    found: dict[str, float] = {}
    if demonstrations := counts.get("demonstrations/train"):
        tokens = sets["demonstrations"].tokens if "demonstrations" in sets else row
        held_out = counts.get("demonstrations/valid", 0) * params.sft.validations
        learned = demonstrations * params.sft.epochs * (ADAPTER_SHARE if params.sft.lora else 1.0)
        found["sft"] = tokens * (learned / rates.learned + held_out / rates.read)
    prompts = params.sample.training_candidates + params.sample.valid_prompts
    draws = prompts * params.sample.responses_per_prompt
    imported = params.label.kind == "imported"
    if not imported:
        found["sample"] = draws * (response / rates.drawn + prompt / rates.read)
    rankings = params.sample.prompts if not imported else 0
    per_ranking = prompt + params.sample.responses_per_prompt * response
    if known := rankings + counts.get("rankings/train", 0):
        share = ADAPTER_SHARE if params.reward.lora else 1.0
        found["reward"] = known * params.reward.epochs * per_ranking * share / rates.learned
        found["reward"] += demonstrations * row / rates.read if demonstrations else 0.0
    methods = {plan.by for plan in params.rounds.values()}
    if "ppo" in methods:
        found["ppo"] = params.ppo.steps * _ppo_step(params, rates, prompt, response)
    if "dpo" in methods and known:
        share = ADAPTER_SHARE if params.dpo.lora else 1.0
        found["dpo"] = known * per_ranking * (1 / rates.read + params.dpo.epochs * share / rates.learned)
        answers = params.dpo.validations * params.dpo.validation_prompts
        found["dpo"] += answers * (response / rates.drawn + (prompt + 2 * row) / rates.read)
    answers = params.evaluate.prompts * (response / rates.drawn + (prompt + row) / rates.read)
    found["evaluate"] = 4 * answers  # base, SFT, the policy before, the policy
    return found


def _ppo_step(params: Params, rates: Rates, prompt: float, response: float) -> float:
    """Seconds of a step: responses, reference and scores, values, and the updates of both models."""
    plan, row = params.ppo, prompt + response
    count = plan.prompts_per_step * plan.responses_per_prompt
    own_value = plan.advantages == "gae" and plan.value == "reward"
    frozen = 2 + (1 if plan.advantages == "gae" else 0)
    policy = ADAPTER_SHARE if plan.lora else 1.0
    learned = plan.epochs * policy * (2 if own_value else 1)
    text = plan.ptx_documents_per_step * policy if plan.ptx_coef else 0
    return (
        count
        * (
            prompt / rates.read
            + response / rates.drawn
            + row * (frozen / rates.read + learned / rates.learned)
        )
        + text * row / rates.learned
    )
