"""The release gates: the rules that a candidate has to meet, and the verdict as text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from alignloop.core.metrics import format_win_rate, win_rate
from alignloop.data.ranking_makers import describe
from alignloop.evaluation.side_by_side import JUDGES
from alignloop.markdown import number, plain, table
from alignloop.params.release import Gates
from alignloop.records import EvaluatedResponse

RULES = {  # the gate -> what its value is, with `{}` for the other model, and which side of the bound is good
    "min_win_rate": ("win rate against {}: lower end of its 95 % interval", "≥"),
    "max_kl_per_response_nats": ("KL to SFT, nats per response", "≤"),
    "min_distinct_2_ratio": ("diversity: distinct-2, as a share of {}'s", "≥"),
    "max_length_drift": ("length: change of the mean, as a share of {}'s", "≤"),
    "max_perplexity_ratio": ("corpus perplexity, as a share of {}'s (alignment tax)", "≤"),
    "max_behaviour_fall": ("behaviours: largest fall of a pass rate", "≤"),
    "max_over_optimisation": ("over-optimisation: win rate by the reward model less that by {judge}", "≤"),
    "max_reward_model_gap": ("reward model: accuracy in training less held-out", "≤"),
    "max_rule_violations": ("rules: violations per 1,000 responses", "≤"),
    "red_team": ("red team: test prompts that get round a rule", "≤"),
    "validated": ("data validation: rules that are broken", "≤"),
    "traced": ("lineage: files of unknown origin", "≤"),
}
INDEPENDENT = ("gold", "judge_model", "held_out_model")  # who cannot have been optimised, the surest first
COUNTS = ("red_team", "validated", "traced")
OPTIONAL = ("max_rule_violations", "red_team")  # no row where there is neither a value nor a bound
OUTCOMES = {True: "met", False: "NOT MET", None: "not asked"}
EVEN = 0.5


class GateRow(NamedTuple):
    """A rule of a verdict in words and numbers, as tables show it; `met` is None where it is not asked.

    `margin` is how far the value is on the good side of its bound; it is negative where the rule is not met.
    """

    rule: str
    value: str
    bound: str
    margin: str
    met: bool | None

    @property
    def outcome(self) -> str:
        """The outcome in words."""
        return OUTCOMES[self.met]


def compare_responses(
    mine: Sequence[EvaluatedResponse], theirs: Sequence[EvaluatedResponse]
) -> dict[str, Any]:
    """Return the win rates of one model's responses against another's to the same prompts.

    Judged by the ground-truth (gold) score, None unless every response has one, and by the reward model.
    """
    others = {response.prompt.id: response for response in theirs}
    pairs = [(response, others[response.prompt.id]) for response in mine if response.prompt.id in others]
    gold = [(one.gold, other.gold) for one, other in pairs if one.gold is not None and other.gold is not None]
    by_score = win_rate([one.score for one, _ in pairs], [other.score for _, other in pairs])
    by_gold = None
    if len(gold) == len(pairs):
        by_gold = win_rate([one for one, _ in gold], [other for _, other in gold]).as_dict()
    return {"gold": by_gold, "reward_model": by_score.as_dict()}


def judged_by(wins: Mapping[str, Any]) -> str | None:
    """Which judge that training could not reach says who is better; None where there is none."""
    return next((name for name in INDEPENDENT if wins.get(name)), None)


def over_optimisation(wins: Mapping[str, Any], win: Mapping[str, float] | None) -> float | None:
    """The win rate by the reward model less an independent one, `win`, on the same prompts.

    None where one of the two is missing.
    """
    if not win or not wins["reward_model"]:
        return None
    return win.get("reward_model_rate", wins["reward_model"]["rate"]) - win["rate"]


def behaviour_declines(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    """Return by how much each behaviour's share of responses that pass gold is lower; negative if higher."""
    both = {name: (mine["behaviours"].get(name), numbers) for name, numbers in theirs["behaviours"].items()}
    return {
        name: round(their["passed"] - my["passed"], 6)
        for name, (my, their) in both.items()
        if my and my["passed"] is not None and their["passed"] is not None
    }


def evaluate_gates(
    gates: Gates,
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
    wins: Mapping[str, Any],
    kl: float | None,
    reward: Mapping[str, Any],
    violations: int,
    untraced: int,
    against_champion: bool,
    rankings: Mapping[str, int],
    rule_violations: float | None = None,
    red_team: int | None = None,
) -> dict[str, Any]:
    """Return every rule's value, bound and outcome, and whether all of them passed.

    A rule without a value is not met; a rule whose bound is null is not checked, nor is over-optimisation
    where no independent judge is among `wins`. `violations` counts broken
    data rules, `untraced` the inputs whose bytes no recorded stage made, `rankings` by their makers those
    that the reward model learned from. `rule_violations` are per 1,000 responses, `red_team` the test prompts
    that get round a rule; None where there are no rules and no such prompts.
    """
    judge = judged_by(wins)
    learned, held_out = reward.get("train_accuracy"), reward.get("valid_accuracy")
    declines = behaviour_declines(mine, theirs)
    values: dict[str, float | None] = {
        "min_win_rate": wins[judge or "reward_model"]["low"],
        "max_kl_per_response_nats": kl,
        "min_distinct_2_ratio": _ratio(mine["distinct_2"], theirs["distinct_2"]),
        "max_length_drift": None if not theirs["length"] else abs(mine["length"] / theirs["length"] - 1),
        "max_perplexity_ratio": _ratio(mine["perplexity"], theirs["perplexity"]),
        "max_behaviour_fall": max(0.0, *declines.values()) if declines else None,
        "max_over_optimisation": over_optimisation(wins, wins[judge] if judge else None),
        "max_reward_model_gap": None if learned is None or held_out is None else learned - held_out,
        "max_rule_violations": rule_violations,
        "red_team": red_team,
        "validated": violations,
        "traced": untraced,
    }
    rules: dict[str, Any] = {}
    for name, (_, side) in RULES.items():
        bound, value = getattr(gates, name), values[name]
        if isinstance(bound, bool):  # a count that must be 0, or that is not checked
            bound = 0 if bound else None
        if name in ("max_over_optimisation", "red_team") and value is None:
            bound = None
        if name in OPTIONAL and value is None and bound is None:
            continue
        value = None if value is None else round(value, 6)
        rules[name] = {"value": value, "bound": bound, "met": _is_met(value, bound, side)}
    return {
        "passed": all(rule["met"] is not False for rule in rules.values()),
        "against_champion": against_champion,
        "wins": dict(wins),
        "rules": rules,
        "behaviour_falls": declines,
        "rankings_by": dict(rankings),
    }


def _is_met(value: float | None, bound: float | None, side: str) -> bool | None:
    if bound is None:
        return None
    if value is None:
        return False
    return value >= bound if side == "≥" else value <= bound


def gate_rows(verdict: Mapping[str, Any]) -> list[GateRow]:
    """A row for each rule."""
    rows = []
    for name, rule in verdict["rules"].items():
        words, side = RULES[name]
        judge = judged_by(verdict["wins"])
        title = words.format(_other(verdict), judge=JUDGES[judge] if judge else "an independent judge")
        if name == "max_behaviour_fall" and (declines := verdict["behaviour_falls"]):
            title += f" ({plain(max(declines, key=declines.__getitem__).replace('_', ' '))})"
        value, bound = rule["value"], rule["bound"]
        margin = None
        if value is not None and bound is not None:
            margin = value - bound if side == "≥" else bound - value
        digits = 0 if name in COUNTS else 3
        limit = "–" if bound is None else f"{side} {number(bound, digits)}"
        rows.append(GateRow(title, number(value, digits), limit, number(margin, digits), rule["met"]))
    return rows


def verdict_sentences(verdict: Mapping[str, Any]) -> list[str]:
    """What came out: the gates, which model is better and how surely, and who ranked what it learned from."""
    met = [rule["met"] for rule in verdict["rules"].values()]
    asked, other = len(met) - met.count(None), _other(verdict)
    outcome = "PASSED" if verdict["passed"] else "FAILED"
    counts = f"{met.count(True)} of {asked} asked rules are met" if asked else "no rule is asked"
    left_out = f"; {met.count(None)} not asked" if None in met and asked else ""
    against = f"against {other}" if verdict["against_champion"] else "against SFT: there is no champion yet"
    sentences = [f"**Gates {outcome}**: {counts}{left_out}, {against}.", *_evidence(verdict, other)]
    count = sum(verdict["rankings_by"].values())
    sentences.append(f"Its reward model learned from {count:,} rankings: {describe(verdict['rankings_by'])}.")
    return sentences


def _evidence(verdict: Mapping[str, Any], other: str) -> Iterator[str]:
    """Which model is better on the test prompts, and what the rule on wins asks where it asks less."""
    name = judged_by(verdict["wins"]) or "reward_model"
    if name == "reward_model":
        yield (
            "**Not judged independently**: only the reward model that training followed says whose responses "
            "are better; `evaluate.judge` names a judge that it cannot reach."
        )
    win, bound = verdict["wins"][name], verdict["rules"]["min_win_rate"]["bound"]
    ties = win["n"] * win["ties"]
    better = win["n"] * win["rate"] - ties / 2
    counts = f"by {JUDGES[name]}, better on {better:,.0f}, the same on {ties:,.0f} and worse on "
    counts += f"{win['n'] - better - ties:,.0f} of {win['n']:,.0f} test prompts"
    if win["low"] > EVEN:
        yield f"The candidate is better than {other}: {counts}."
    elif win["high"] < EVEN:
        yield f"**The candidate is worse than {other}**: {counts}."
    else:
        yield f"The test prompts do not show whether the candidate or {other} is better: {counts}."
    if name == "judge_model":
        yield (
            f"In both orders the judge model agrees with itself on {win['self_consistency']:.0%} of "
            f"{win['asked']:,.0f} pairs that differ (else a tie); its preference for what it reads first is "
            f"{win['position_bias']:+.2f} (−1 to 1)."
        )
    if bound is not None and bound < EVEN:
        yield (
            f"`min_win_rate: {bound:g}` asks only for a win rate that is surely {bound:g} or more: "
            "a candidate that loses more often than it wins can meet it. 0.5 asks for one that surely wins."
        )


def render_verdict(verdict: Mapping[str, Any]) -> str:
    """Return the verdict in Markdown that is also readable on a console: sentences, and a line per rule."""
    rows = [["rule", "value", "limit", "margin", "verdict"]]
    rows += [[row.rule, row.value, row.bound, row.margin, row.outcome] for row in gate_rows(verdict)]
    optimised = "" if verdict["wins"].get("gold") else " that training followed"
    wins = [
        f"{judge}{optimised if name == 'reward_model' else ''}: {format_win_rate(verdict['wins'][name])}"
        for name, judge in JUDGES.items()
        if verdict["wins"].get(name)
    ]
    sentences = "\n\n".join(verdict_sentences(verdict))
    return f"{sentences}\n\n{table(rows)}\n\nWins by {'; by '.join(wins)}.\n"


def _other(verdict: Mapping[str, Any]) -> str:
    return "the champion" if verdict["against_champion"] else "SFT"


def _ratio(mine: float | None, theirs: float | None) -> float | None:
    return None if mine is None or not theirs else mine / theirs
