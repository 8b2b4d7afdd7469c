"""The release gates: the rules that a candidate has to meet, and the verdict as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from alignloop.core.metrics import format_win_rate, win_rate
from alignloop.markdown import number, plain, table
from alignloop.params.release import Gates
from alignloop.records import EvaluatedResponse

RULES = {  # the gate -> what its value is, and which side of the bound is good
    "min_win_rate": ("wins, lower end of the 95 % interval", "≥"),
    "max_kl_per_response_nats": ("KL to SFT, nats per response", "≤"),
    "min_distinct_2_ratio": ("diversity: distinct-2, of the other's", "≥"),
    "max_length_drift": ("length, change of the mean", "≤"),
    "max_perplexity_ratio": ("alignment tax: corpus perplexity, of the other's", "≤"),
    "max_behaviour_fall": ("behaviours: greatest decline", "≤"),
    "max_reward_model_gap": ("reward model: training less held-out accuracy", "≤"),
    "validated": ("data validation: violations", "≤"),
    "traced": ("lineage: untraced inputs", "≤"),
}


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
    kl: float,
    reward: Mapping[str, Any],
    violations: int,
    untraced: int,
    against_champion: bool,
) -> dict[str, Any]:
    """Return every rule's value, bound and outcome, and whether all of them passed.

    A rule without a value is not met; a rule whose bound is null is not checked. `violations` counts broken
    data rules, `untraced` the inputs whose bytes no recorded stage made.
    """
    learned, held_out = reward.get("train_accuracy"), reward.get("valid_accuracy")
    declines = behaviour_declines(mine, theirs)
    values: dict[str, float | None] = {
        "min_win_rate": (wins["gold"] or wins["reward_model"])["low"],
        "max_kl_per_response_nats": kl,
        "min_distinct_2_ratio": _ratio(mine["distinct_2"], theirs["distinct_2"]),
        "max_length_drift": None if not theirs["length"] else abs(mine["length"] / theirs["length"] - 1),
        "max_perplexity_ratio": _ratio(mine["perplexity"], theirs["perplexity"]),
        "max_behaviour_fall": max(0.0, *declines.values()) if declines else None,
        "max_reward_model_gap": None if learned is None or held_out is None else learned - held_out,
        "validated": violations,
        "traced": untraced,
    }
    rules: dict[str, Any] = {}
    for name, (_, side) in RULES.items():
        bound, value = getattr(gates, name), values[name]
        if isinstance(bound, bool):  # a count that must be 0, or that is not checked
            bound = 0 if bound else None
        value = None if value is None else round(value, 6)
        rules[name] = {"value": value, "bound": bound, "met": _is_met(value, bound, side)}
    return {
        "passed": all(rule["met"] is not False for rule in rules.values()),
        "against_champion": against_champion,
        "wins": dict(wins),
        "rules": rules,
        "behaviour_falls": declines,
    }


def _is_met(value: float | None, bound: float | None, side: str) -> bool | None:
    if bound is None:
        return None
    if value is None:
        return False
    return value >= bound if side == "≥" else value <= bound


def render_verdict(verdict: Mapping[str, Any]) -> str:
    """Return the verdict in Markdown that is also readable on a console: a sentence, and a line per rule."""
    checked = [rule for rule in verdict["rules"].values() if rule["met"] is not None]
    met = sum(rule["met"] for rule in checked)
    other = "the champion" if verdict["against_champion"] else "SFT, for there is no other champion"
    outcomes = {True: "met", False: "NOT MET", None: "not asked"}
    rows = [["rule", "number", "bound", "verdict"]]
    for name, rule in verdict["rules"].items():
        title, side = RULES[name]
        if name == "max_behaviour_fall" and (declines := verdict["behaviour_falls"]):
            title += f" ({plain(max(declines, key=declines.__getitem__).replace('_', ' '))})"
        digits = 0 if name in ("validated", "traced") else 3
        bound = "–" if rule["bound"] is None else f"{side} {number(rule['bound'], digits)}"
        rows.append([title, number(rule["value"], digits), bound, outcomes[rule["met"]]])
    outcome = "PASSED" if verdict["passed"] else "FAILED"
    sentence = f"**Gates {outcome}**: {met} of {len(checked)} rules are met, against {other}."
    judges = {"gold": "gold", "reward_model": "the reward model"}
    wins = [
        f"{judge}: {format_win_rate(verdict['wins'][name])}"
        for name, judge in judges.items()
        if verdict["wins"][name]
    ]
    return f"{sentence}\n\n{table(rows)}\n\nWins by {'; by '.join(wins)}.\n"


def _ratio(mine: float | None, theirs: float | None) -> float | None:
    return None if mine is None or not theirs else mine / theirs
