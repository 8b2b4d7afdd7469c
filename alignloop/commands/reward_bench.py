"""`python -m alignloop reward-bench FILE … --reward FOLDER`: what a reward model gets right on preferences.

Any reward model folder: one of this project (`models/r3/reward`), or a sequence classifier with one label.
Any file that `ingest` reads as rankings. It prints the accuracy on each subset with its 95 % interval, beside
two baselines: the longer response, and, with `--words FILE`, a bag of words fitted on that file's rankings.
Numbers and each ranking's scores go into an MLflow run, and the numbers into a JSON file with `--out`.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from alignloop import params as parameters
from alignloop import tracking
from alignloop.core.batches import spread
from alignloop.data.input_files import DataError
from alignloop.data.source_rankings import source_rankings
from alignloop.determinism import make_deterministic
from alignloop.evaluation.reward_bench import (
    ALL,
    LENGTH,
    MODEL,
    WORDS,
    bench_report,
    length_scores,
    render,
    reward_scores,
    ties_note,
)
from alignloop.evaluation.word_baseline import WordBaseline, fit_word_baseline
from alignloop.files import write_json
from alignloop.pipeline.stage_files import hashes
from alignloop.progress import Progress, paced
from alignloop.records import Ranking
from alignloop.scoring.checkpoint_score import open_reward_model
from alignloop.tracking.metric_names import part_of_name

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class _Measured:
    """The rankings that were scored, each with its subset, and the scores of each scorer."""

    rankings: list[Ranking]
    subsets: list[str]
    scores: dict[str, list[Tensor]]
    notes: list[str]
    baseline: WordBaseline | None


def command(arguments: Sequence[str]) -> int:
    """Measure the reward model; print the table and keep the numbers."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit {options.limit}: one ranking at least")
    root, params = Path.cwd(), parameters.load(Path("params.yaml"))
    make_deterministic(params, "reward-bench")
    given = {
        "reward": options.reward.as_posix(),
        "files": " ".join(file.as_posix() for file in options.files),
        "words": " ".join(file.as_posix() for file in options.words or ()),
        "limit": options.limit or "",
    }
    read = [options.reward, *options.files, *(options.words or ())]
    inputs = hashes(root, [_inside(root, path) for path in read])
    found: list[_Measured] = []
    for _ in paced(_measure(options, found), "reward-bench", _say, look_every=1.0):
        pass
    measured = found[0]
    report = bench_report(measured.subsets, [each.ranks for each in measured.rankings], measured.scores)
    if not report["subsets"]:
        raise DataError(f"{given['files']}: every ranking is a tie, so there is no order to get right")
    if measured.baseline:
        report["bag_of_words"] = {
            "pairs": measured.baseline.pairs,
            "words": len(measured.baseline.weights),
            "strength": measured.baseline.strength,
        }
    if options.out:
        write_json(options.out, report)
    print("\n".join([*measured.notes, "", render(report), "", ties_note(report)]), flush=True)
    with tracking.run(root, "reward-bench", params=given, inputs=inputs) as run:
        run.log(0, _points(report))
        with TemporaryDirectory() as folder:
            numbers, scores = Path(folder, "reward-bench.json"), Path(folder, "scores.jsonl")
            write_json(numbers, report)
            scores.write_text("".join(_lines(measured)), encoding="utf-8")
            run.finish({}, [(numbers, ""), (scores, "")])
    return 0


def _measure(options: argparse.Namespace, found: list[_Measured]) -> Iterator[Progress]:
    """Read, fit and score; the result goes into `found`."""
    model = open_reward_model(options.reward.as_posix())
    found_rankings, by_ranking, notes = _read(options)
    baseline = _word_baseline(options, found_rankings, notes)
    if baseline:
        yield Progress(1, 2, note=f"a bag of {len(baseline.weights):,} words, {baseline.pairs:,} pairs")
    rankings, of_model = reward_scores(model, found_rankings)
    if left := len(found_rankings) - len(rankings):
        notes.append(f"{left:,} rankings do not fit into {model.context:,} tokens and are left out")
    subset_of = {id(each): subset for each, subset in zip(found_rankings, by_ranking, strict=True)}
    subsets = [subset_of[id(ranking)] for ranking in rankings]
    scores = {MODEL: of_model, LENGTH: length_scores(rankings)}
    if baseline:
        scores[WORDS] = [baseline.scores(ranking.responses) for ranking in rankings]
    found.append(_Measured(rankings, subsets, scores, notes, baseline))
    yield Progress(2, 2)


def _read(options: argparse.Namespace) -> tuple[list[Ranking], list[str], list[str]]:
    """The rankings with their subsets, at most `--limit` of each, and what is to be said of them."""
    by_subset: dict[str, list[Ranking]] = {}
    notes: list[str] = []
    for file in options.files:
        read = source_rankings(file, options.format)
        notes.append(read.summary())
        for ranking in read.rankings:
            if options.split in (None, ranking.split):
                subset = ranking.prompt.category if options.by == "category" else file.as_posix()
                by_subset.setdefault(f"{ALL}." if subset == ALL else subset, []).append(ranking)
    if not by_subset:
        raise DataError(f"{notes[0]}: none of them is of the split {options.split}; leave out --split")
    most = options.limit or max(map(len, by_subset.values()))
    pairs = [(name, each) for name, group in by_subset.items() for each in spread(group, most)]
    left = sum(map(len, by_subset.values())) - len(pairs)
    notes += [f"--limit {most}: {left:,} rankings, evenly spread, are left out"] if left else []
    return [each for _, each in pairs], [name for name, _ in pairs], notes


def _word_baseline(
    options: argparse.Namespace, measured: Sequence[Ranking], notes: list[str]
) -> WordBaseline | None:
    """The bag of words, fitted on what `--words` names, but for the prompts that are measured on."""
    if not options.words:
        return None
    train = [each for file in options.words for each in source_rankings(file, options.format).rankings]
    asked = {each.prompt.messages for each in measured}
    apart = [each for each in train if each.prompt.messages not in asked]
    if left := len(train) - len(apart):
        notes.append(f"{left:,} rankings of --words are on prompts that are measured, and were not fitted")
    return fit_word_baseline(apart)


def _points(report: dict[str, Any]) -> dict[str, float]:
    """The accuracies as metrics of the run: `reward-bench/SUBSET/reward_model`."""
    return {
        f"reward-bench/{part_of_name(subset)}/{scorer.replace(' ', '_')}": numbers["rate"]
        for subset, part in report["subsets"].items()
        for scorer, numbers in part["accuracy"].items()
    }


def _lines(measured: _Measured) -> Iterator[str]:
    """A line of JSON for each ranking: its id, subset, ranks, and every scorer's scores."""
    for place, ranking in enumerate(measured.rankings):
        scores = {
            scorer: torch.round(all_scores[place].double(), decimals=6).tolist()
            for scorer, all_scores in measured.scores.items()
        }
        row = {"id": ranking.id, "subset": measured.subsets[place], "ranks": ranking.ranks, "scores": scores}
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _inside(root: Path, path: Path) -> str:
    """The path from the project's folder, or the absolute one of what is not in it."""
    whole = path.resolve()
    return (whole.relative_to(root.resolve()) if whole.is_relative_to(root.resolve()) else whole).as_posix()


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop reward-bench", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="preferences, in any format")
    parser.add_argument("--reward", type=Path, required=True, help="a reward model, e.g. models/r3/reward")
    parser.add_argument(
        "--words", nargs="+", type=Path, metavar="FILE", help="preferences that a bag of words is fitted on"
    )
    parser.add_argument("--format", help="of all files, where it cannot be guessed (data/README.md)")
    parser.add_argument(
        "--by",
        choices=("category", "file"),
        default="category",
        help="what a subset is: the prompts' category (in HH-RLHF the folder), or a file",
    )
    parser.add_argument("--split", choices=SPLITS, help="of our own rankings, those of this split alone")
    parser.add_argument("--limit", type=int, help="at most LIMIT rankings of each subset, evenly spread")
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    return parser
