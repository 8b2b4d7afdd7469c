"""`python -m alignloop questions FILE --policy FOLDER --against FOLDER`: open questions, judged in pairs.

FILE has questions of one or more turns, as MT-Bench, Vicuna and Arena-Hard have them. Both policies answer
every turn after their own earlier answers; `--against` may also be a file of answers. The judge model of
`evaluate.judge` compares the two dialogues in both orders: a win is what both orders say. It prints the win
rate by category with 95 % intervals, and keeps numbers and transcript in an MLflow run.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alignloop import params as parameters
from alignloop import tracking
from alignloop.core.batches import spread
from alignloop.core.models import load_policy
from alignloop.data.input_files import DataError
from alignloop.determinism import make_deterministic
from alignloop.evaluation.question_answers import Answers, Drawing, answer, as_response
from alignloop.evaluation.questions import Question, read_answers, read_questions
from alignloop.evaluation.results_table import with_interval
from alignloop.files import rounded, write_json
from alignloop.labeling.independent_judge import CACHE
from alignloop.labeling.llm_judge import Judge
from alignloop.labeling.pairwise_judge import JudgedPair, judge_pairs, report
from alignloop.markdown import plain, table
from alignloop.params import Params
from alignloop.pipeline.stage_files import hashes
from alignloop.progress import Progress, paced
from alignloop.records import Message, Prompt
from alignloop.tracking.metric_names import part_of_name

KEPT = Path(".cache", "questions")


@dataclass(frozen=True)
class _Answered:
    """A model's dialogue on one question, as the judge reads it."""

    prompt: Prompt
    model: str
    response: str

    @property
    def id(self) -> str:
        return f"{self.model}-{self.prompt.id}"


def command(arguments: Sequence[str]) -> int:
    """Answer and judge every question; print the win rates and keep numbers and transcript."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit {options.limit}: one question at least")
    if options.temperature is not None and options.temperature <= 0:
        parser.error(f"--temperature {options.temperature}: must be above 0")
    root, params = Path.cwd(), parameters.load(Path("params.yaml"))
    make_deterministic(params, "questions")
    questions = _questions(options, params)
    sides = (options.policy, options.against)
    inputs = hashes(root, [str(path) for path in (options.file, *sides)])
    mine, theirs = (_answers(root, params, options, path, questions) for path in sides)
    both = [each for each in questions if {each.id} <= mine.by_id.keys() & theirs.by_id.keys()]
    if not both:
        raise DataError(
            f"{options.file}: no question has answers of both; lower --max-new-tokens, or correct the ids in "
            "the file of answers"
        )
    judge = _judge(root, params)
    _say(f"judging {len(both):,} pairs in both orders by {params.evaluate.judge.name}")
    pairs = judge_pairs(
        judge,
        [_response(each, options.policy, mine) for each in both],
        [_response(each, options.against, theirs) for each in both],
    )
    numbers = _report(both, pairs)
    too_long = len({*mine.too_long, *theirs.too_long})
    unanswered = len(questions) - len(both) - too_long
    numbers |= {"calls": judge.calls, "too_long": too_long, "unanswered": unanswered}
    if options.out:
        write_json(options.out, numbers)
    print(_text(numbers, *(path.as_posix() for path in sides)), flush=True)
    about = {name: str(getattr(options, name)) for name in ("file", "policy", "against")}
    about |= {"judge": params.evaluate.judge.name, "judge_url": params.evaluate.judge.url}
    with tracking.run(root, "questions", params=about, inputs=inputs) as run:
        run.log(0, _points(numbers))
        with TemporaryDirectory() as folder:
            kept, transcript = Path(folder, "questions.json"), Path(folder, "transcript.jsonl")
            write_json(kept, numbers)
            transcript.write_text("".join(_lines(both, mine, theirs, pairs)), encoding="utf-8")
            run.finish({}, [(kept, ""), (transcript, "")])
    return 0


def _questions(options: argparse.Namespace, params: Params) -> list[Question]:
    """The questions that are asked. Raises DataError where the judge may not be asked about all of them."""
    found = read_questions(options.file)
    questions = spread(found, options.limit or len(found))
    needed, allowed = 2 * len(questions), params.evaluate.judge.max_calls
    if needed > allowed:
        raise DataError(
            f"{options.file}: {len(questions):,} questions in both orders need {needed:,} requests to the "
            f"judge, and evaluate.judge.max_calls is {allowed:,}; raise it, or take --limit {allowed // 2}"
        )
    return questions


def _answers(
    root: Path, params: Params, options: argparse.Namespace, path: Path, questions: Sequence[Question]
) -> Answers:
    """The answers of a checkpoint, drawn here, or those of a file, but for questions it answers in part."""
    found = Answers({}, [])
    if path.is_file():
        known = read_answers(path)
        whole = [each for each in questions if len(known.get(each.id, ())) >= len(each.turns)]
        found.by_id = {each.id: known[each.id][: len(each.turns)] for each in whole}
        return found
    model, tokenizer = load_policy(path)
    how = Drawing(
        name=hashes(root, [str(path)]).get(str(path), str(path)),
        seed=params.seed,
        temperature=options.temperature or params.evaluate.temperature,
        max_new_tokens=options.max_new_tokens or params.decoding.max_new_tokens,
        batch=params.decoding.responses_per_batch,
    )
    asked = [(each.id, each.turns) for each in questions]
    kept = root / KEPT / blake2b(repr((how, asked)).encode(), digest_size=8).hexdigest()

    def steps() -> Iterator[Progress]:
        for done, turns in answer(model, tokenizer, questions, how, folder=kept, found=found):
            yield Progress(done, turns)

    for _ in paced(steps(), f"answers of {path}", _say, look_every=1.0):
        pass
    return found


def _judge(root: Path, params: Params) -> Judge:
    plan = params.evaluate.judge
    return Judge(
        plan.url,
        plan.name,
        plan.max_concurrency,
        params.seed,
        root / CACHE,
        section="evaluate.judge",
        max_calls=plan.max_calls,
    )


def _response(question: Question, path: Path, answers: Answers) -> _Answered:
    prompt = Prompt(
        id=question.id,
        messages=(Message(role="user", content=question.turns[0]),),
        user="user",
        category=question.category,
        source="questions",
    )
    return _Answered(prompt, path.as_posix(), as_response(question, answers.by_id[question.id]))


def _report(questions: Sequence[Question], pairs: Sequence[JudgedPair]) -> dict[str, Any]:
    """The win rate of the first policy in each category and in all, with how often it won, tied and lost."""
    of: dict[str, list[JudgedPair]] = {}
    for question, pair in zip(questions, pairs, strict=True):
        of.setdefault(question.category, []).append(pair)
    return rounded({"categories": {name: _wins(of[name]) for name in sorted(of)}, "all": _wins(pairs)})


def _wins(pairs: Sequence[JudgedPair]) -> dict[str, float]:
    outcomes = [pair.outcome for pair in pairs]
    counts = {name: outcomes.count(value) for name, value in (("won", 1.0), ("tied", 0.5), ("lost", 0.0))}
    return {**report(pairs), **counts}


def _points(numbers: dict[str, Any]) -> dict[str, float]:
    """The win rates as metrics of the run: `questions/CATEGORY/win_rate`."""
    parts = {**numbers["categories"], "all": numbers["all"]}
    return {
        f"questions/{part_of_name(name)}/{key}": part[value]
        for name, part in parts.items()
        for key, value in (("win_rate", "rate"), ("low", "low"), ("high", "high"))
    }


def _lines(
    questions: Sequence[Question], mine: Answers, theirs: Answers, pairs: Sequence[JudgedPair]
) -> Iterator[str]:
    """A line of JSON for each question: its turns, both policies' answers, and the judge's words."""
    for question, pair in zip(questions, pairs, strict=True):
        row = {
            "id": question.id,
            "category": question.category,
            "turns": question.turns,
            "answers": mine.by_id[question.id],
            "other_answers": theirs.by_id[question.id],
            "outcome": pair.outcome,
            "outcomes": pair.outcomes,
            "replies": pair.replies,
        }
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _text(numbers: dict[str, Any], mine: str, theirs: str) -> str:
    rows = [["category", "questions", f"wins of {mine}", "won", "tied", "lost"]]
    for name, part in [*numbers["categories"].items(), ("all", numbers["all"])]:
        counts = [f"{part[key]:,}" for key in ("won", "tied", "lost")]
        rows.append([plain(name), f"{part['n']:,}", with_interval(part), *counts])
    every = numbers["all"]
    return (
        f"\n{table(rows)}\n\nagainst {theirs}; a tie counts a half; 95 % intervals (Wilson's)\n"
        f"the judge said the same in both orders of {every['self_consistency']:.1%} of {every['asked']:,} "
        f"pairs that differ; position bias {every['position_bias']:+.3f}; {numbers['calls']:,} requests\n"
        f"left out: {numbers['too_long']:,} too long, {numbers['unanswered']:,} without answers of both"
    )


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop questions", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="questions: MT-Bench, Vicuna, Arena-Hard")
    parser.add_argument("--policy", type=Path, required=True, help="a checkpoint, or a file of answers")
    parser.add_argument("--against", type=Path, required=True, help="the same of the baseline")
    parser.add_argument("--limit", type=int, help="at most LIMIT questions, evenly spread")
    parser.add_argument("--temperature", type=float, help="instead of evaluate.temperature")
    parser.add_argument("--max-new-tokens", type=int, help="of an answer, instead of decoding.max_new_tokens")
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    return parser
