"""Rules of a file, as a checkout states them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alignloop.rules.rule_file import load_rules
from alignloop.rules.rule_set import RuleSet

CONTACT = "contact: {pii: [EMAIL, PHONE], checks: both, action: redact}"
WEAPONS = "weapons: {keywords: [nerve gas, 中文], checks: both, action: block, message: Not here.}"
GERMAN = "german: {pattern: '(?i)geheim', checks: response, languages: [de], action: log}"


@pytest.fixture
def rules_of(tmp_path: Path) -> Callable[..., RuleSet]:
    """Write rules, one a line, and read them."""

    def write(*lines: str) -> RuleSet:
        file = tmp_path / "rules.yaml"
        file.write_text("rules:\n" + "".join(f"  {line}\n" for line in lines), encoding="utf-8")
        return load_rules(file)

    return write


def said(text: str, role: str = "assistant") -> list[dict[str, str]]:
    return [{"role": role, "content": text}]
