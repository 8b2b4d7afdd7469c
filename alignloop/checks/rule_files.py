"""What configs/ says of rules: the file of rules, the red-team prompts, and what release asks of them."""

from pathlib import Path

from alignloop.checks.findings import Finding, error
from alignloop.errors import AlignloopError
from alignloop.params import Params
from alignloop.rules import red_team_file, rule_file
from alignloop.rules.finders import check_checkpoint

NAME = "rules"


def check_rules(params: Params, root: Path) -> list[Finding]:
    """The faults, which would end a run at its release; none where the checkout has no such files."""
    if not (root / rule_file.FILE).exists():
        return []
    found: list[Finding] = []
    try:
        rules = rule_file.load_rules(root / rule_file.FILE)
        if (root / red_team_file.FILE).exists():
            red_team_file.read_prompts(root / red_team_file.FILE, rules)
    except AlignloopError as fault:
        return [error(NAME, line) for line in str(fault).splitlines()]
    for name, rule in rules.rules.items():
        if rule.classifier is not None:
            try:
                check_checkpoint(rule.classifier.path)
            except AlignloopError as fault:
                found.append(error(NAME, f"rules.{name}.classifier: {fault}"))
    if params.release.gates.max_rule_violations is not None and not rules.on("response"):
        found.append(
            Finding(
                NAME,
                "error",
                f"release.gates.max_rule_violations: {rule_file.FILE} has no rule for responses",
                "add one, or set it to null",
            )
        )
    return found
