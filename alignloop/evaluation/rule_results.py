"""How often a model's responses hit the rules, and whether red-team prompts get round them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from alignloop.core.generate import sample
from alignloop.core.models import context_of, load_policy, token_rules
from alignloop.core.tokens import decode, encode_prompt
from alignloop.params.sample import Decoding
from alignloop.phases import phase
from alignloop.records import EvaluatedResponse
from alignloop.rules.red_team_file import Attempt, RedTeamPrompt, attempts
from alignloop.rules.rule_set import RuleSet
from alignloop.seeds import seed_of
from alignloop.training.encoding import chat

SAMPLES = 4  # responses to each red-team prompt: one of them may get round a rule by chance
AT_ONCE = 8  # a judge model is asked by so many threads


def violations(rules: RuleSet, responses: Sequence[EvaluatedResponse]) -> dict[str, Any]:
    """Hits per 1,000 responses: of each rule, and `any` of those that count as violations."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        hits = list(pool.map(lambda each: _hits(rules, each), responses))
    counted = rules.counted()

    def share(count: int) -> float:
        return round(1000 * count / max(len(responses), 1), 6)

    return {
        "responses": len(responses),
        "any": share(sum(any(name in counted for name in found) for found in hits)),
        "rules": {name: share(sum(name in found for found in hits)) for name in rules.on("response")},
    }


def _hits(rules: RuleSet, each: EvaluatedResponse) -> set[str]:
    dialogue = [*chat(each.prompt.messages), {"role": "assistant", "content": each.response}]
    return {hit.rule for hit in rules.find("response", dialogue)}


def try_prompts(
    rules: RuleSet,
    prompts: Sequence[RedTeamPrompt],
    path: Path,
    *,
    seed: int,
    temperature: float,
    decoding: Decoding,
) -> list[Attempt]:
    """Let the model at `path` respond to red-team prompts, `SAMPLES` times to each.

    A prompt too long for its context gets no response, so it gets round nothing.
    """

    def respond(dialogues: Sequence[list[dict[str, str]]]) -> list[list[str]]:
        model, tokenizer = load_policy(path)
        room = context_of(model) - decoding.max_new_tokens
        rows = [encode_prompt(tokenizer, dialogue) for dialogue in dialogues]
        fitting = [place for place, row in enumerate(rows) if len(row) <= room]
        if not fitting:
            return [[] for _ in rows]
        with phase("responses", of="to red-team prompts"):
            drawn = sample(
                model,
                [rows[place] for place in fitting for _ in range(SAMPLES)],
                token_rules(tokenizer, model),
                temperature=temperature,
                max_new_tokens=decoding.max_new_tokens,
                generator=torch.Generator().manual_seed(seed_of(seed, "red team")),
                batch=decoding.responses_per_batch,
            )
        texts = [decode(tokenizer, ids) for ids in drawn.ids]
        given = {place: texts[first * SAMPLES : (first + 1) * SAMPLES] for first, place in enumerate(fitting)}
        return [given.get(place, []) for place in range(len(rows))]

    return attempts(rules, prompts, respond)
