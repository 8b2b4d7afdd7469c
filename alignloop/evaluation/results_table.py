"""The results table: one row per model, from every round's evaluation; equal numbers give equal bytes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alignloop.data.ranking_makers import describe, rules_in
from alignloop.markdown import number, plain, table

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
    "distinct_responses",
    "perplexity",
)
FIRST = ("gold", "passed", "made_up", "distinct_2", "length", "perplexity")
FAULTS = (
    ("made up, of unknown and false premise", "made_up", ("unknown", "false_premise")),
    ("refused, of harmless", "over_refused", ("harmless",)),
)
NAMES = {"base": "base", "sft": "SFT"}
REWARD = ("accuracy_labelers", "accuracy_gold", "labelers_agreement_gold")


def gather(evaluations: Mapping[str, Any], rankings: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """The numbers of every row, from evaluations in order of rounds; base and SFT are of the last round.

    `rankings` has for each round how many rankings it added, by their makers.
    """
    first, last = next(iter(evaluations)), next(reversed(list(evaluations)))
    newest = evaluations[last]
    rows = {
        "base": _row(newest["models"]["base"], vs_sft=_other_side(newest["win_rates"]["sft_vs_base"])),
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
    asked = {key: newest[key] for key in ("best_of", "tasks") if newest.get(key)}
    return {
        "rounds": len(evaluations),
        "judged_by_gold": bool(newest["win_rates"].get("judged_by_gold", rows["sft"]["gold"] is not None)),
        "rows": rows,
        "last_against_first": _change(rows[first], rows[last]) if first != last else None,
        "rankings_by": {name: dict(counts) for name, counts in rankings.items()},
        **asked,
    }


def headline_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """A round's most important numbers, flat, so that DVC's table of experiments has few columns."""
    policy, wins = report["models"]["policy"], report["win_rates"]
    duels = {f"wins_{name}": wins[f"policy_{name}"]["rate"] for name in ("vs_base", "vs_sft", "vs_before")}
    reward = {f"reward_{name}": report["reward_model"][name] for name in REWARD[:2]}
    return {
        **{key: policy[key] for key in FIRST},
        **duels,
        "kl_to_sft_nats": report["kl_to_sft_nats"],
        **reward,
    }


def tables(results: Mapping[str, Any]) -> str:
    """The results in Markdown that a console shows as well.

    The models, best of n where it was asked for, the change over the rounds, the pass rate by behaviour, and
    the corpus loss by domain where documents state one.
    """
    rows: dict[str, Any] = results["rows"]
    parts = [_models(rows), _caption(results["judged_by_gold"]), _rankings(results["rankings_by"])]
    if best := results.get("best_of"):
        parts.append(_best_of(best))
    if tasks := results.get("tasks"):
        parts.append(tasks_table(tasks, list(rows)[-1]))
    if change := results["last_against_first"]:
        parts.append(_change_in_words(rows, change))
    behaviours = [name for name, of in rows["sft"]["behaviours"].items() if of["passed"] is not None]
    if behaviours:
        parts.append(_behaviours(rows, behaviours))
    if domains := rows["sft"].get("domains"):
        parts.append(_domains(rows, domains))
    return "\n\n".join(parts) + "\n"


def _models(rows: Mapping[str, Any]) -> str:
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "gold": lambda row: number(row["gold"], 3),
        "wins against SFT": lambda row: with_interval(row["win_rate_vs_sft"]),
        "against round before": lambda row: with_interval(row["win_rate_vs_before"]),
        "KL to SFT": lambda row: number(row["kl_to_sft_nats"], 2),
        "distinct-2": lambda row: number(row["distinct_2"], 3),
        "length": lambda row: number(row["length"], 1),
        "perplexity": lambda row: number(row["perplexity"], 2),
        "RM: labelers": lambda row: number(row["reward_model"]["accuracy_labelers"], 3),
        "RM: gold": lambda row: number(row["reward_model"]["accuracy_gold"], 3),
        "labelers: gold": lambda row: number(row["reward_model"]["labelers_agreement_gold"], 3),
    }
    body = [[NAMES.get(name, name), *(cell(row) for cell in columns.values())] for name, row in rows.items()]
    return table([["model", *columns], *body])


def _caption(judged_by_gold: bool) -> str:
    judge = "gold" if judged_by_gold else "the round's reward model: these prompts have no gold"
    return (
        f"Wins are judged by {judge}; 95 % intervals. KL in nats per response, length in tokens, "
        "perplexity on held-out corpus. Gold: the built-in environment's exact ground-truth score. RM: "
        "labelers and labelers: gold: share of the held-out labelers' pairs that the reward model and gold "
        "order as they did, a tie counts a half. RM: gold: the same of the pairs whose gold differs."
    )


def _rankings(rounds: Mapping[str, Mapping[str, int]]) -> str:
    """Who ranked in each round, and by which rules simulated labelers did."""
    added = [
        f"{name} {sum(counts.values()):,} ({describe(counts)})" if counts else f"{name} none"
        for name, counts in rounds.items()
    ]
    rules = rules_in({maker: count for counts in rounds.values() for maker, count in counts.items()})
    notes = [f" Simulated labelers rank by the rule {rule}, {words}." for rule, words in rules.items()]
    return f"Rankings added in each round: {'; '.join(added)}.{''.join(notes)}"


def _best_of(best: Mapping[str, Any]) -> str:
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "score": lambda row: number(row["score"], 3),
        "gold": lambda row: number(row["gold"], 3),
        "wins against one": lambda row: with_interval(row["wins"]),
        "KL if all differ": lambda row: number(row["kl_if_all_differ_nats"], 2),
        "KL measured": lambda row: number(row["kl_measured_nats"], 2),
        "length": lambda row: number(row["length"], 1),
    }
    body = [[n, *(cell(row) for cell in columns.values())] for n, row in best.items()]
    return table([["best of SFT's responses", *columns], *body])


def tasks_table(tasks: Mapping[str, Any], last: str) -> str:
    """A row for each metric of each task of the harness and number of shots, a column for each model.

    `last` is the name of the model `policy`.
    """
    names = {model: NAMES.get(model, last) for model in tasks}
    body: list[list[str]] = []
    for task, by_shots in next(iter(tasks.values())).items():
        for shots, numbers in by_shots.items():
            of_models = [tasks[model][task][shots] for model in tasks]
            for metric in (name for name, value in numbers.items() if isinstance(value, Mapping)):
                cells = [_task_value(of[metric]) for of in of_models]
                body.append([plain(task), shots, plain(metric), f"{numbers['samples']:,}", *cells])
    cut = sum(numbers["cut"] for of in tasks.values() for task in of.values() for numbers in task.values())
    note = f"\n\n{cut:,} samples exceeded the context and lost their beginning." if cut else ""
    return table([["task", "shots", "metric", "samples", *names.values()], *body]) + note


def _task_value(numbers: Mapping[str, float | None]) -> str:
    value = number(numbers["value"], 3)
    if numbers["low"] is None or numbers["high"] is None:
        return value
    return f"{value} [{number(numbers['low'], 3)}, {number(numbers['high'], 3)}]"


def _change_in_words(rows: Mapping[str, Any], change: Mapping[str, float | None]) -> str:
    names = {
        "gold": "gold",
        "win_rate_vs_sft": "wins against SFT",
        "made_up": "made-up responses",
        "perplexity": "perplexity",
    }
    known = {name: value for key, name in names.items() if (value := change[key]) is not None}
    words = ", ".join(f"{name} {_signed(value)}" for name, value in known.items())
    rounds = list(rows)[2:]
    return f"{rounds[-1]} compared with {rounds[0]}: {words}."


def _behaviours(rows: Mapping[str, Any], behaviours: Sequence[str]) -> str:
    counts = {name: of["n"] for name, of in rows["sft"]["behaviours"].items()}
    body = [
        [plain(name.replace("_", " ")), str(counts[name]), *(_passed(row, name) for row in rows.values())]
        for name in behaviours
    ]
    for words, key, of in FAULTS:
        if count := sum(counts.get(name, 0) for name in of):
            body.append([words, str(count), *(number(row[key], 3) for row in rows.values())])
    return table([["responses that pass gold", "n", *(NAMES.get(name, name) for name in rows)], *body])


def _domains(rows: Mapping[str, Any], domains: Mapping[str, Mapping[str, float]]) -> str:
    names = ["corpus loss, nats per token", "documents", *(NAMES.get(name, name) for name in rows)]
    body = [
        [
            plain(name),
            str(of["documents"]),
            *(number(row["domains"][name]["loss"], 3) for row in rows.values()),
        ]
        for name, of in domains.items()
    ]
    return table([names, *body])


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
        **({"domains": model["domains"]} if "domains" in model else {}),
    }


def _other_side(win: Mapping[str, float]) -> dict[str, float]:
    """The same comparison seen from the other side."""
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


def with_interval(win: Mapping[str, float] | None) -> str:
    """A win rate with its interval: `0.740 [0.712, 0.766]`; a dash where there is none."""
    return "–" if win is None else f"{win['rate']:.3f} [{win['low']:.3f}, {win['high']:.3f}]"


def _passed(row: Mapping[str, Any], behaviour: str) -> str:
    return number(row["behaviours"].get(behaviour, {}).get("passed"), 3)
