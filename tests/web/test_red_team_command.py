"""The red-team command against the champion of a registry: what gets round is printed and kept."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignloop.__main__ import main

RULES = """rules:
  words: {pattern: '\\S', checks: response, action: block, message: No.}
  salt: {keywords: [salt], checks: prompt, action: block, message: No.}
"""


@pytest.fixture
def root(policies: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project with rules, for one test."""
    monkeypatch.chdir(policies)
    (policies / "configs").mkdir()
    (policies / "configs" / "rules.yaml").write_text(RULES)
    yield policies
    shutil.rmtree(policies / "configs")


def test_what_gets_round_the_champion_is_kept_once(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, kept = tmp_path / "attempts.jsonl", root / "configs" / "red_team.jsonl"
    attempts = [{"prompt": "Who?"}, {"prompt": "The salt?"}, {"prompt": "Who?", "rule": "salt"}]
    file.write_text("".join(json.dumps(each) + "\n" for each in attempts))
    assert main(["redteam", str(file), "--no-keep"]) == 0
    assert not kept.exists()
    said = capsys.readouterr().out
    assert "words: Who?\nsalt: Who?\n" in said
    assert "2 of 3 prompts get round a rule with alignloop-policy/1 (4 responses to each)" in said
    assert "a rule stops 1 before the model" in said
    for new in (2, 0):
        assert main(["redteam", str(file), "--model", "alignloop-policy/2"]) == 0
        assert f"{new} new in configs/red_team.jsonl" in capsys.readouterr().out
    assert [json.loads(line) for line in kept.read_text().splitlines()] == [
        {"prompt": "Who?", "rule": None},
        {"prompt": "Who?", "rule": "salt"},
    ]
    file.write_text('{"prompt": "Who?", "rule": "pepper"}\n')
    assert main(["redteam", str(file)]) == 1
    assert "line 1: there is no rule 'pepper'" in capsys.readouterr().err
