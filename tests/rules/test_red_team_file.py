"""Which red-team prompts get round a rule, by hand; those are kept once."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from alignloop.rules.red_team_file import RedTeamError, RedTeamPrompt, attempts, keep, read_prompts
from alignloop.rules.rule_set import RuleSet
from tests.rules.conftest import WEAPONS

RULES = (
    WEAPONS,
    "salt: {keywords: [salt], checks: response, action: block, message: No.}",
    "sea: {keywords: [sea], checks: prompt, action: block, message: No.}",
    "log: {keywords: [nothing], checks: response, action: log}",
)


def echo(dialogues: Sequence[list[dict[str, str]]]) -> list[list[str]]:
    return [[dialogue[-1]["content"], "nothing"] for dialogue in dialogues]


def test_what_gets_round_is_a_response_that_hits_or_a_prompt_that_is_not_stopped(
    rules_of: Callable[..., RuleSet],
):
    tried = [
        ("salt", None),  # a response hits the rule
        ("sea salt", None),  # a rule stops the prompt
        ("sea salt", "salt"),  # it does, but another one was to be got round
        ("s e a", "sea"),  # a rule for prompts alone does not stop it
        ("nerve gas", "weapons"),
        ("log", "log"),  # a rule that is only logged counts where it is named
        ("pepper", None),
    ]
    prompts = [RedTeamPrompt(prompt=text, rule=rule) for text, rule in tried]
    found = attempts(rules_of(*RULES), prompts, echo)
    assert [each.got_round for each in found] == [
        ("salt",),
        (),
        ("salt",),
        ("sea",),
        (),
        ("log",),
        (),
    ]
    assert [each.stopped for each in found] == [None, "sea", None, None, "weapons", None, None]
    assert found[3].responses == ()


def test_prompts_are_kept_once_and_unknown_rules_are_named_with_their_lines(
    rules_of: Callable[..., RuleSet], tmp_path: Path
):
    file = tmp_path / "red_team.jsonl"
    one, two = RedTeamPrompt(prompt="a", rule="salt"), RedTeamPrompt(prompt="a")
    assert keep(file, [one, one]) == 1
    assert keep(file, [one, two]) == 1
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"prompt": "a", "rule": "salt"},
        {"prompt": "a", "rule": None},
    ]
    assert read_prompts(file, rules_of(*RULES)) == [one, two]
    with pytest.raises(RedTeamError, match="line 1: there is no rule 'salt'\nrules are: weapons"):
        read_prompts(file, rules_of(WEAPONS))
