"""The rules that a candidate has to meet before anybody may use it, each with its number and its bound; and the verdict in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from alignloop.core.metrics import format_win_rate, win_rate
from alignloop.evaluation.results_table import number, table
from alignloop.params.release import Gates
from alignloop.records import Answer

RULES = {  # the gate -> what its number is, and which side of the bound is good
    "min_win_rate": ("wins, lower end of the 95 % interval", "≥"),
    "max_kl_per_response_nats": ("KL to SFT, nats per response", "≤"),
    "min_distinct_2_ratio": ("diversity: distinct-2, of the other's", "≥"),
    "max_length_drift": ("length, change of the mean", "≤"),
    "max_perplexity_ratio": ("alignment tax: corpus perplexity, of the other's", "≤"),
    "max_behaviour_fall": ("behaviours: the greatest fall", "≤"),
    "max_reward_model_gap": ("reward model: learned less held-out accuracy", "≤"),
    "validated": ("data validation: breaches", "≤"),
    "traced": ("lineage: inputs without a maker", "≤"),
}


def duel(mine: Sequence[Answer], theirs: Sequence[Answer]) -> dict[str, Any]:
    """Win rates of one model's answers against another's to the same prompts, by gold where all have it, and by the reward model."""
    others = {answer.prompt.id: answer for answer in theirs}
    pairs = [(answer, others[answer.prompt.id]) for answer in mine if answer.prompt.id in others]
    golden = [
        (one.gold, other.gold) for one, other in pairs if one.gold is not None and other.gold is not None
    ]
    by_score = win_rate([one.score for one, _ in pairs], [other.score for _, other in pairs])
    by_gold = (
        win_rate([one for one, _ in golden], [other for _, other in golden]).as_dict()
        if len(golden) == len(pairs)
        else None
    )
    return {"gold": by_gold, "reward_model": by_score.as_dict()}


def falls(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    """By how much less of each behaviour's answers pass gold; negative where more do."""
    both = {name: (mine["behaviours"].get(name), numbers) for name, numbers in theirs["behaviours"].items()}
    return {
        name: round(their["passed"] - my["passed"], 6)
        for name, (my, their) in both.items()
        if my and my["passed"] is not None and their["passed"] is not None
    }


def verdict(
    gates: Gates,
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
    wins: Mapping[str, Any],
    kl: float,
    reward: Mapping[str, Any],
    breaches: int,
    holes: int,
    champion: bool,
) -> dict[str, Any]:
    """Every rule's number, bound and outcome. A rule whose number cannot be had is not met; one whose bound is null is not asked."""
    learned, held_out = reward.get("train_accuracy"), reward.get("valid_accuracy")
    worse = falls(mine, theirs)
    values: dict[str, float | None] = {
        "min_win_rate": (wins["gold"] or wins["reward_model"])["low"],
        "max_kl_per_response_nats": kl,
        "min_distinct_2_ratio": _ratio(mine["distinct_2"], theirs["distinct_2"]),
        "max_length_drift": None if not theirs["length"] else abs(mine["length"] / theirs["length"] - 1),
        "max_perplexity_ratio": _ratio(mine["perplexity"], theirs["perplexity"]),
        "max_behaviour_fall": max(0.0, *worse.values()) if worse else None,
        "max_reward_model_gap": None if learned is None or held_out is None else learned - held_out,
        "validated": breaches,
        "traced": holes,
    }
    rules: dict[str, Any] = {}
    for name, (_, side) in RULES.items():
        bound, value = getattr(gates, name), values[name]
        bound = (0 if bound else None) if isinstance(bound, bool) else bound
        value = None if value is None else round(value, 6)
        met = (
            None
            if bound is None
            else value is not None and (value >= bound if side == "≥" else value <= bound)
        )
        rules[name] = {"value": value, "bound": bound, "met": met}
    passed = all(rule["met"] is not False for rule in rules.values())
    return {
        "passed": passed,
        "against_champion": champion,
        "wins": dict(wins),
        "rules": rules,
        "behaviour_falls": worse,
    }


def told(verdict: Mapping[str, Any]) -> str:
    """The verdict in Markdown that a console shows as well: one sentence, and a line per rule."""
    asked = [rule for rule in verdict["rules"].values() if rule["met"] is not None]
    met, other = (
        sum(rule["met"] for rule in asked),
        "the champion" if verdict["against_champion"] else "SFT, for there is no other champion",
    )
    rows = [["rule", "number", "bound", "verdict"]]
    for name, rule in verdict["rules"].items():
        words, side = RULES[name]
        if name == "max_behaviour_fall" and (worse := verdict["behaviour_falls"]):
            words += f" ({max(worse, key=worse.__getitem__).replace('_', ' ')})"
        digits = 0 if name in ("validated", "traced") else 3
        bound = "–" if rule["bound"] is None else f"{side} {number(rule['bound'], digits)}"
        rows.append(
            [
                words,
                number(rule["value"], digits),
                bound,
                {True: "met", False: "NOT MET", None: "not asked"}[rule["met"]],
            ]
        )
    sentence = f"**Gates {'PASSED' if verdict['passed'] else 'FAILED'}**: {met} of {len(asked)} rules are met, against {other}."
    judges = {"gold": "gold", "reward_model": "the reward model"}
    wins = [
        f"{judge}: {format_win_rate(verdict['wins'][name])}"
        for name, judge in judges.items()
        if verdict["wins"][name]
    ]
    return f"{sentence}\n\n{table(rows)}\n\nWins by {'; by '.join(wins)}.\n"


def _ratio(mine: float, theirs: float) -> float | None:
    return mine / theirs if theirs else None
