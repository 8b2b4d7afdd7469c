"""A rule of configs/rules.yaml as a part of the score: 1 for a response that hits it, else 0."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from alignloop.core import parallel_passes
from alignloop.errors import AlignloopError
from alignloop.records import Prompt
from alignloop.rules.rule_file import FILE, load_rules
from alignloop.rules.rule_set import RuleSet
from alignloop.scoring.drawn import Drawn, fault
from alignloop.training.encoding import chat


class RuleHits:
    """The rule of a part; of several processes the first checks responses. Raises ScoreError."""

    def __init__(self, part: str, rule: str, version: str) -> None:
        self.part, self.rule = part, rule
        self._rules = find_rule(part, rule, version)

    def __call__(self, drawn: Drawn) -> Tensor:
        return parallel_passes.agreed(
            self._hits(drawn.prompts, drawn.texts) if parallel_passes.is_writer() else cast(Tensor, None)
        )

    def _hits(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> Tensor:
        return torch.tensor(
            [float(self._is_hit(prompt, text)) for prompt, text in zip(prompts, texts, strict=True)]
        )

    def _is_hit(self, prompt: Prompt, text: str) -> bool:
        dialogue = [*chat(prompt.messages), {"role": "assistant", "content": text}]
        try:
            return bool(self._rules.find("response", dialogue, [self.rule]))
        except AlignloopError as error:
            raise fault(self.part, [prompt.id], str(error), "mend the rule") from None


def find_rule(part: str, rule: str, version: str) -> RuleSet:
    """The rules, of which one is this. Raises ScoreError where it is missing or has another version.

    The version is how DVC sees that a rule has changed: it is in params.yaml.
    """
    try:
        rules = load_rules(FILE)
    except AlignloopError as error:
        raise fault(part, (), str(error), f"mend {FILE}") from None
    if rule not in rules.on("response"):
        known = ", ".join(rules.on("response")) or "none"
        raise fault(part, (), f"{FILE} has no rule {rule!r} for responses", f"those that it has: {known}")
    if (now := rules.version_of(rule)) != version:
        raise fault(
            part,
            (),
            f"the rule {rule} has version {now} now, not {version}",
            f"set version: '{now}', so that PPO runs by the rule as it is, or restore {FILE}",
        )
    return rules
