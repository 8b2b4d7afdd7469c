"""What the rules say of a candidate and of those that it is compared with, for the results and the gates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignloop.data.record_files import write
from alignloop.evaluation.rule_results import try_prompts, violations
from alignloop.params.sample import Decoding
from alignloop.records import EvaluatedResponse
from alignloop.rules.red_team_file import Attempt, read_prompts
from alignloop.rules.rule_file import load_rules
from alignloop.rules.rule_set import RuleSet


class RuleGates:
    """The rules and the permanent test prompts. Raises RulesError, DataError or RedTeamError."""

    def __init__(self, rules: Path, red_team: Path) -> None:
        self.rules: RuleSet = load_rules(rules)
        self._prompts = read_prompts(red_team, self.rules)
        self._rows: dict[str, Any] = {}
        self._attempts: list[Attempt] | None = None

    def measure(self, models: Mapping[str, Sequence[EvaluatedResponse]]) -> None:
        """Count the violations of each model's responses."""
        if self.rules.on("response"):
            self._rows |= {name: violations(self.rules, given) for name, given in models.items()}

    def try_prompts(
        self, policy: Path, *, seed: int, temperature: float, decoding: Decoding, out: Path | None = None
    ) -> None:
        """Let the candidate respond to the permanent test prompts; what came of them is written to `out`."""
        if not self._prompts:
            return
        self._attempts = try_prompts(
            self.rules, self._prompts, policy, seed=seed, temperature=temperature, decoding=decoding
        )
        if out is not None:
            write(out, self._attempts)

    @property
    def got_round(self) -> int | None:
        """How many test prompts get round a rule, None where there are no prompts."""
        return None if self._attempts is None else sum(bool(each.got_round) for each in self._attempts)

    def values(self, candidate: str) -> dict[str, Any]:
        """What the gates need."""
        row = self._rows.get(candidate)
        return {"rule_violations": row and row["any"], "red_team": self.got_round}

    @property
    def results(self) -> dict[str, Any]:
        """For the results; nothing where there are no rules and no test prompts."""
        rules = {"rules": {"rows": self._rows}} if self._rows else {}
        tried = {"prompts": len(self._prompts), "got_round": self.got_round}
        return rules | ({"red_team": tried} if self._prompts else {})
