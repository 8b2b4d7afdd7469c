"""The results of the rounds as they are on disk: rows, verdict, and what to know before trusting them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from alignloop.errors import AlignloopError
from alignloop.evaluation.chance import at_chance
from alignloop.evaluation.data_size import size_warnings, sizes_of
from alignloop.evaluation.results_table import NAMES, gather, with_interval
from alignloop.markdown import number, plain, table
from alignloop.params import load
from alignloop.pipeline.dvc_lock import untraced_inputs
from alignloop.release.gates import gate_rows, verdict_sentences

WIDTH = 110  # of a console


class ResultsError(AlignloopError):
    """A file with results is broken; the message names it and the stage that makes it again."""


@dataclass(frozen=True)
class RoundResults:
    """The evaluated rounds in their order, their rows, and the verdict if a release has compared them."""

    registry: str
    rounds: list[str]
    table: Mapping[str, Any]
    verdict: Mapping[str, Any] | None
    warnings: list[str]


def read_results(root: Path, just_evaluated: str | None = None) -> RoundResults | None:
    """Return the results of all rounds that were evaluated; None if none was.

    `just_evaluated` is a round whose evaluation has ended and is not in dvc.lock yet.
    """
    params = load(root / "params.yaml")
    files = {name: root / "metrics" / "rounds" / name / "evaluate.json" for name in params.rounds}
    evaluations = {
        name: _json(file, f"evaluate@{name}", lambda found: gather({"last": found}, {}))
        for name, file in files.items()
        if file.exists()
    }
    if not evaluations:
        return None
    rounds = list(evaluations)
    labels = {name: _label_report(files[name].with_name("label.json"), name) for name in rounds}
    rewards = {name: _reward_report(files[name].with_name("reward.json"), name) for name in rounds}
    gathered = gather(evaluations, {name: label["rankings_by"] for name, label in labels.items()})
    released = root / "metrics" / "release.json"
    report = (
        _json(released, "release", lambda found: (found["rows"], found["verdict"]["rules"]))
        if released.exists()
        else {}
    )
    verdict = report["verdict"] if report.get("rows") == gathered["rows"] else None
    warnings = [
        *_of_gates(verdict),
        *_of_age(root, [name for name in rounds if name != just_evaluated]),
        *(
            f"Too little data: {each}."
            for each in size_warnings(sizes_of(rewards[rounds[-1]], evaluations[rounds[-1]]))
        ),
        *_of_rewards(rewards),
    ]
    return RoundResults(params.release.registry, rounds, gathered, verdict, warnings)


def overview(results: RoundResults) -> str:
    """Return the rows in a table that a console shows, the verdict in a sentence, and the warnings."""
    columns = ["model", "gold", "wins against SFT", "KL to SFT", "distinct-2", "length", "perplexity"]
    body = [
        [
            plain(NAMES.get(name) or name),
            number(row["gold"], 3),
            with_interval(row["win_rate_vs_sft"]),
            number(row["kl_to_sft_nats"], 2),
            number(row["distinct_2"], 3),
            number(row["length"], 1),
            number(row["perplexity"], 2),
        ]
        for name, row in results.table["rows"].items()
    ]
    lines = sentences(results.verdict).replace("**", "").splitlines() if results.verdict else []
    lines += [f"! {warning}" for warning in results.warnings]
    filled = [fill(line, WIDTH, subsequent_indent="  ", break_long_words=False) for line in lines if line]
    return "\n".join([table([columns, *body]), *filled])


def sentences(verdict: Mapping[str, Any]) -> str:
    """Return what the verdict says before its table, in Markdown."""
    return "\n\n".join(verdict_sentences(verdict))


def _of_gates(verdict: Mapping[str, Any] | None) -> list[str]:
    if verdict is None:
        return ["No release has compared these rounds yet: `make run` does, when all rounds are done."]
    missed = [row for row in gate_rows(verdict) if row.met is False]
    return [f"A gate is not met: {row.rule} is {row.value}, and should be {row.bound}." for row in missed]


def _of_age(root: Path, rounds: Sequence[str]) -> list[str]:
    """A warning for each round that was evaluated with other data or models than dvc.lock has now."""
    paths = {name: f"data/evaluation/{name}" for name in rounds}
    return [
        f"The results of {name} are older than what they depend on: `make run` measures it again."
        for name, path in paths.items()
        if set(untraced_inputs(root, path)) - {path}  # the path itself: its stage was run without DVC
    ]


def _label_report(file: Path, round: str) -> Any:
    """The metrics of `label`; without the file, nobody is known to have ranked."""
    if not file.exists():
        return {"rankings_by": {}}
    return _json(file, f"label@{round}", lambda found: found["rankings_by"])


def _reward_report(file: Path, round: str) -> Any:
    """The metrics of `reward`, or nothing without the file."""
    return _json(file, f"reward@{round}", lambda found: found["valid_accuracy"]) if file.exists() else {}


def _of_rewards(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    warnings = []
    for name, report in reports.items():
        accuracy, pairs = report.get("valid_accuracy"), report.get("valid_pairs", 0)
        if pairs and at_chance(accuracy, pairs):
            warnings.append(
                f"The reward model of {name} orders {accuracy:.1%} of {pairs:,} held-out pairs as the "
                "labelers did, no more than by chance: its policy followed noise."
            )
    return warnings


def _json(file: Path, stage: str, check: Callable[[Any], Any]) -> Any:
    """A stage's metrics; `check` reads what is needed of them, and raises where it is missing."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        check(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"{file}: not what {stage} writes ({error!r}); `dvc repro --force {stage}` makes it again"
        ) from None
    return found


def first_of_each(categories: Sequence[str], count: int) -> list[int]:
    """Return the places of the first `count` items, one of each category in turn: not picked, not alike."""
    places: dict[str, list[int]] = {}
    for place, category in enumerate(categories):
        places.setdefault(category, []).append(place)
    turns = sorted(
        (turn, category, place)
        for category, found in places.items()
        for turn, place in enumerate(found[:count])
    )
    return [place for _, _, place in turns[:count]]
