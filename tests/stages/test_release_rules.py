"""What rules say of the candidate in a release: a table, two gates, and the responses to red-team prompts."""

import json
import shutil
from pathlib import Path

from alignloop.data import record_files
from alignloop.rules.red_team_file import Attempt
from tests.stages.test_release import released, rounds  # noqa: F401  a fixture


def test_rules_are_a_table_of_the_results_and_gates_of_the_release(
    rounds: Path,  # noqa: F811
    tiny_policy: Path,
):
    (rounds / "configs" / "rules.yaml").write_text(
        """rules:
  so: {pattern: 'policy says', checks: response, action: block, message: No.}
  says: {keywords: [says], checks: response, action: log}
  any: {pattern: '.', checks: response, action: log}
"""
    )
    prompts = [{"prompt": "Is the sea full of salt?", "rule": "any"}, {"prompt": "Who?", "rule": "so"}]
    (rounds / "configs" / "red_team.jsonl").write_text("".join(json.dumps(each) + "\n" for each in prompts))
    text = (rounds / "params.yaml").read_text()
    bound = text.replace("max_rule_violations:", "max_rule_violations: 999.0")
    (rounds / "params.yaml").write_text(bound)
    shutil.rmtree(rounds / "models" / "r2" / "policy")
    shutil.copytree(tiny_policy, rounds / "models" / "r2" / "policy")
    released(rounds)
    numbers = json.loads((rounds / "metrics" / "release.json").read_text())
    found = numbers["rules"]["rows"]
    assert {name: (row["any"], row["rules"]["says"]) for name, row in found.items()} == {
        "base": (0, 1000),
        "sft": (0, 1000),
        "r1": (1000, 1000),
        "r2": (1000, 1000),
    }
    gates = numbers["verdict"]["rules"]
    assert gates["max_rule_violations"] == {"value": 1000, "bound": 999.0, "met": False}
    assert gates["red_team"] == {"value": 1, "bound": 0, "met": False}
    tried = record_files.read(rounds / "data" / "release" / "red_team.jsonl", Attempt)
    assert [each.got_round for each in tried] == [("any",), ()]
    report = (rounds / "reports" / "results.md").read_text()
    assert "| so                             |    0.0 |    0.0 | 1000.0 | 1000.0 |" in report
    assert "1 of 2 red-team prompts get round a rule." in report
