"""A rule as a part of the score: 1 where a response hits it, by the version that params.yaml states."""

from pathlib import Path
from typing import Any

import pytest

from alignloop.rules.rule_file import FILE, load_rules
from alignloop.scoring.drawn import ScoreError
from tests.scoring.test_open_score import prompt, scored

TEXT = """rules:
  number: {pattern: '[0-9]', checks: response, action: log}
  asks: {pattern: '[?]', checks: prompt, action: log}
"""


@pytest.fixture
def version(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """That of the rule `number` of a checkout."""
    monkeypatch.chdir(root)
    FILE.parent.mkdir()
    FILE.write_text(TEXT)
    return load_rules(FILE).rules["number"].version


def test_rules_count_with_weights_of_either_sign(version: str, tiny_policy: Path):
    rule: dict[str, Any] = {"kind": "rule", "rule": "number", "version": version}
    parts = {"bad": rule | {"weight": -2.0}, "good": rule | {"weight": 0.5}}
    given = scored(parts, [prompt("p0", None), prompt("p1", None, "And?")], ["13", "No."], tiny_policy)
    assert given.parts["bad"].tolist() == [1.0, 0.0]
    assert given.total.tolist() == [-1.5, 0.0]


def test_a_rule_that_has_changed_or_is_none_for_responses_is_refused(version: str, tiny_policy: Path):
    def fails(rule: str, version: str) -> str:
        part = {"kind": "rule", "rule": rule, "version": version, "weight": -1.0}
        with pytest.raises(ScoreError) as raised:
            scored({"bad": part}, [prompt("p0", None)], ["13"], tiny_policy)
        return str(raised.value)

    assert f"the rule number has version {version} now, not 00000000; set version: '{version}'" in fails(
        "number", "00000000"
    )
    assert "has no rule 'asks' for responses; those that it has: number" in fails("asks", version)
    FILE.write_text(TEXT.replace("log", "block", 1))
    assert "ppo.score.bad: configs/rules.yaml, line 2: rules.number: message:" in fails("number", version)
