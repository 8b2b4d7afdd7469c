"""Files of rules are read before anything runs: release would fail by them after hours."""

from pathlib import Path

from alignloop import params as parameters
from alignloop.checks.rule_files import check_rules
from tests.conftest import PROJECT

RULES = """rules:
  asks: {pattern: '[?]', checks: prompt, action: log}
  read: {classifier: {path: ./none, above: 0.0}, checks: prompt, action: log}
"""


def faults(root: Path, **gates: float) -> list[str]:
    params = parameters.load(PROJECT / "params.yaml")
    asked = params.release.gates.model_copy(update=gates)
    release = params.release.model_copy(update={"gates": asked})
    found = check_rules(params.model_copy(update={"release": release}), root)
    return [f"{each.message}; {each.remedy}" for each in found if each.severity == "error"]


def test_faults_of_rules_red_team_prompts_and_gates_are_found(tmp_path: Path):
    assert faults(tmp_path) == []
    assert faults(PROJECT) == []
    file = tmp_path / "configs" / "rules.yaml"
    file.parent.mkdir()
    file.write_text("rules:\n  a: {checks: both}\n  b: {}\n")
    assert len(faults(tmp_path)) >= 3, "each by itself"
    file.write_text(RULES)
    missing, gate = faults(tmp_path, max_rule_violations=1.0)
    assert missing.startswith("rules.read.classifier: ./none: no such checkpoint folder")
    assert gate.startswith("release.gates.max_rule_violations: configs/rules.yaml has no rule for responses")
    (file.parent / "red_team.jsonl").write_text('{"prompt": "Who?", "rule": "none"}\n')
    assert "there is no rule 'none'" in faults(tmp_path)[0]
