"""The results table: one row per model, from every round's evaluation. The same numbers always give the same bytes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

PLAIN = (
    "gold",
    "passed",
    "made_up",
    "over_refused",
    "score",
    "length",
    "ended",
    "distinct_1",
    "distinct_2",
    "distinct_answers",
    "perplexity",
)
FIRST = ("gold", "passed", "made_up", "distinct_2", "length", "perplexity")
FAULTS = (
    ("made up, of unknown and false premise", "made_up", ("unknown", "false_premise")),
    ("refused, of harmless", "over_refused", ("harmless",)),
)
REWARD = ("accuracy_labelers", "accuracy_gold", "labelers_agreement_gold")


def gather(evaluations: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of every row, from evaluations by round in their order; base and SFT are as the last round measured them."""
    first, last = next(iter(evaluations)), next(reversed(list(evaluations)))
    newest = evaluations[last]
    rows = {
        "base": _row(newest["models"]["base"], vs_sft=_turned(newest["win_rates"]["sft_vs_base"])),
        "sft": _row(newest["models"]["sft"], vs_base=newest["win_rates"]["sft_vs_base"], kl=0.0),
    }
    for name, report in evaluations.items():
        wins = report["win_rates"]
        rows[name] = _row(
            report["models"]["policy"],
            vs_base=wins["policy_vs_base"],
            vs_sft=wins["policy_vs_sft"],
            vs_before=wins["policy_vs_before"],
            controlled=wins["policy_vs_sft_length_controlled"],
            kl=report["kl_to_sft_nats"],
            reward=report["reward_model"],
        )
    best = {"best_of": newest["best_of"]} if newest.get("best_of") else {}
    return {
        "rounds": len(evaluations),
        "judged_by_gold": bool(newest["win_rates"].get("judged_by_gold", rows["sft"]["gold"] is not None)),
        "rows": rows,
        "last_against_first": _change(rows[first], rows[last]) if first != last else None,
        **best,
    }


def headline_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What one asks of a round first, flat, so that DVC shows rounds and experiments side by side in a table of few columns."""
    policy, wins = report["models"]["policy"], report["win_rates"]
    duels = {f"wins_{name}": wins[f"policy_{name}"]["rate"] for name in ("vs_base", "vs_sft", "vs_before")}
    said = {f"reward_{name}": report["reward_model"][name] for name in REWARD[:2]}
    return {
        **{key: policy[key] for key in FIRST},
        **duels,
        "kl_to_sft_nats": report["kl_to_sft_nats"],
        **said,
    }


def tables(results: Mapping[str, Any]) -> str:
    """The results in Markdown that a console shows as well: the models, the change over the rounds, and gold's pass rate by behaviour."""
    rows: dict[str, Any] = results["rows"]
    names = {"base": "base", "sft": "SFT"}
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "gold": lambda row: number(row["gold"], 3),
        "wins against SFT": lambda row: _rate(row["win_rate_vs_sft"]),
        "against round before": lambda row: _rate(row["win_rate_vs_before"]),
        "KL to SFT": lambda row: number(row["kl_to_sft_nats"], 2),
        "distinct-2": lambda row: number(row["distinct_2"], 3),
        "length": lambda row: number(row["length"], 1),
        "perplexity": lambda row: number(row["perplexity"], 2),
        "RM: labelers": lambda row: number(row["reward_model"]["accuracy_labelers"], 3),
        "RM: gold": lambda row: number(row["reward_model"]["accuracy_gold"], 3),
        "labelers: gold": lambda row: number(row["reward_model"]["labelers_agreement_gold"], 3),
    }
    main = [
        ["model", *columns],
        *([names.get(name, name), *(cell(row) for cell in columns.values())] for name, row in rows.items()),
    ]
    judge = "gold" if results["judged_by_gold"] else "the round's reward model: these prompts have no gold"
    parts = [
        table(main),
        f"Wins are judged by {judge}; 95 % intervals. KL in nats per response, length in tokens, perplexity on held-out corpus."
        " RM: labelers and labelers: gold: share of the held-out labelers' pairs that RM and gold order as they did, a tie counts a half."
        " RM: gold: the same of the pairs that gold tells apart.",
    ]
    if best := results.get("best_of"):
        head = [
            "best of SFT's answers",
            "score",
            "gold",
            "wins against one",
            "KL if all differ",
            "KL measured",
            "length",
        ]
        cells = (
            ("score", 3),
            ("gold", 3),
            ("wins", None),
            ("kl_if_all_differ_nats", 2),
            ("kl_measured_nats", 2),
            ("length", 1),
        )
        body = [
            [n, *(_rate(row[key]) if digits is None else number(row[key], digits) for key, digits in cells)]
            for n, row in best.items()
        ]
        parts.append(table([head, *body]))
    if change := results["last_against_first"]:
        told = {
            "gold": "gold",
            "win_rate_vs_sft": "wins against SFT",
            "made_up": "answers made up",
            "perplexity": "perplexity",
        }
        words = [f"{words} {_signed(change[key])}" for key, words in told.items() if change[key] is not None]
        last = next(reversed(list(rows)))
        parts.append(f"{last} against {list(rows)[2]}: {', '.join(words)}.")
    behaviours = [
        name for name, numbers in rows["sft"]["behaviours"].items() if numbers["passed"] is not None
    ]
    if behaviours:
        head = ["answers that pass gold", "n", *(names.get(name, name) for name in rows)]
        body = [
            [
                name.replace("_", " "),
                str(rows["sft"]["behaviours"][name]["n"]),
                *(_passed(row, name) for row in rows.values()),
            ]
            for name in behaviours
        ]
        for words, key, of in FAULTS:
            asked = sum(rows["sft"]["behaviours"].get(name, {"n": 0})["n"] for name in of)
            if asked:
                body.append([words, str(asked), *(number(row[key], 3) for row in rows.values())])
        parts.append(table([head, *body]))
    return "\n\n".join(parts) + "\n"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with columns of one width: the first to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "| "
        + " | ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in rows
    ]
    rule = (
        "|"
        + "|".join("-" * (width + 1) + (":" if place else "-") for place, width in enumerate(widths))
        + "|"
    )
    return "\n".join([lines[0], rule, *lines[1:]])


def number(value: float | None, digits: int) -> str:
    """A number as people read it, with a true minus; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def one_line(text: str, most: int = 300) -> str:
    """At most so many letters of a text on one line, without the signs that Markdown would read."""
    flat = " ".join(text.split())
    cut = flat if len(flat) <= most else flat[:most] + " …"
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in cut) or "(nothing)"


def _row(
    model: Mapping[str, Any],
    vs_base: Any = None,
    vs_sft: Any = None,
    vs_before: Any = None,
    controlled: float | None = None,
    kl: float | None = None,
    reward: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        **{key: model[key] for key in PLAIN},
        "win_rate_vs_base": vs_base,
        "win_rate_vs_sft": vs_sft,
        "win_rate_vs_before": vs_before,
        "win_rate_vs_sft_length_controlled": controlled,
        "kl_to_sft_nats": kl,
        "reward_model": {key: (reward or {}).get(key) for key in REWARD},
        "behaviours": model["behaviours"],
    }


def _turned(win: Mapping[str, float]) -> dict[str, float]:
    """The same duel seen from the other side."""
    return {
        **win,
        "rate": round(1 - win["rate"], 6),
        "low": round(1 - win["high"], 6),
        "high": round(1 - win["low"], 6),
    }


def _change(first: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, float | None]:
    def change(key: str) -> float | None:
        one, two = first[key], last[key]
        one, two = (one["rate"], two["rate"]) if isinstance(one, Mapping) else (one, two)
        return None if one is None or two is None else round(two - one, 6)

    return {key: change(key) for key in (*PLAIN, "win_rate_vs_base", "win_rate_vs_sft", "kl_to_sft_nats")}


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _rate(win: Mapping[str, float] | None) -> str:
    return "–" if win is None else f"{win['rate']:.3f} [{win['low']:.3f}, {win['high']:.3f}]"


def _passed(row: Mapping[str, Any], behaviour: str) -> str:
    return number(row["behaviours"].get(behaviour, {}).get("passed"), 3)
