"""Precision and recall of rules as by hand, and files that name no rule of the checkout."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alignloop.__main__ import main
from alignloop.rules.measuring import LabelError, measure, render
from alignloop.rules.rule_set import RuleSet
from tests.rules.conftest import WEAPONS

SALT = "salt: {pattern: salt, checks: response, action: log}"
LABELLED = [
    {"text": "The sea is full of salt.", "hits": ["salt"]},
    {"text": "It is a basalt.", "hits": []},
    {"text": "NaCl", "hits": ["salt"]},
    {"text": "Nothing.", "hits": []},
    {"text": "Nerve gas?", "side": "prompt", "hits": ["weapons"]},
    {"text": "salt", "side": "prompt", "hits": []},
]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    file = tmp_path / "labelled.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in LABELLED))
    return file


def test_precision_and_recall_are_as_by_hand(rules_of: Callable[..., RuleSet], labelled: Path):
    weapons, salt = measure(rules_of(WEAPONS, SALT), labelled)
    assert (salt.right, salt.wrong, salt.missed, len(salt.seconds)) == (1, 1, 1, 4)
    assert (salt.precision, salt.recall) == (0.5, 0.5)
    assert (weapons.precision, weapons.recall, len(weapons.seconds)) == (1.0, 1.0, 6)
    assert "| salt    |     4 |       2 |     0.500 |  0.500 |" in render([weapons, salt])


def test_a_label_that_is_no_rule_is_named_with_its_line(rules_of: Callable[..., RuleSet], labelled: Path):
    with pytest.raises(LabelError, match=r"line 1: hits: there is no rule 'salt' for a response\n.*line 3"):
        measure(rules_of(WEAPONS), labelled)


def test_the_command_prints_rules_with_versions_and_what_it_measured(
    rules_of: Callable[..., RuleSet],
    labelled: Path,
    project: Path,
    capsys: pytest.CaptureFixture[str],
):
    file = str(labelled.parent / "rules.yaml")
    rules = rules_of(WEAPONS, SALT)
    assert main(["rules", "--rules", file, "list"]) == 0
    assert f"salt                     {rules.version_of('salt')}  log: pattern in response" in (
        capsys.readouterr().out
    )
    assert main(["rules", "--rules", file, "measure", str(labelled)]) == 0
    assert "| salt " in capsys.readouterr().out
    assert main(["rules", "list"]) == 1
    assert "configs/rules.yaml: No such file or directory" in capsys.readouterr().err


def test_a_pattern_takes_less_than_five_milliseconds_for_a_long_text(
    rules_of: Callable[..., RuleSet], tmp_path: Path
):
    file = tmp_path / "long.jsonl"
    long = json.dumps({"text": "a word of a long text, " * 200, "hits": []}) + "\n"  # 4,600 characters
    file.write_text(long * 20)
    words = ", ".join(f"word{number}" for number in range(200))
    listed = f"listed: {{keywords: [{words}], checks: response, action: log}}"
    for each in measure(
        rules_of(r"pattern: {pattern: '(\w+\s)+\d$', checks: response, action: log}", listed), file
    ):
        assert sorted(each.seconds)[10] < 0.005
