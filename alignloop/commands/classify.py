"""`python -m alignloop classify FILE --policy FOLDER --template … --labels …`: zero- and few-shot accuracy.

FILE has a row for each item (JSON Lines, JSON, CSV, Parquet). The template names its columns in braces and
ends with {label}: "Review: {text}\\nSentiment: {label}". `--labels CLASS=WORD,WORD …` are the words of each
class. It prints the accuracy, plain and calibrated by content-free inputs, with 95 % intervals, beside always
naming the most frequent class, and keeps numbers and every prediction in an MLflow run. Where the template
has {reasoning}, the model writes there first (chain of thought).
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop import params as parameters
from alignloop import tracking
from alignloop.core.batches import spread
from alignloop.core.models import load_policy
from alignloop.data.input_files import DataError
from alignloop.determinism import make_deterministic
from alignloop.evaluation.labelled_items import LabelledItem, accuracy, read_items
from alignloop.evaluation.reasoning import write_reasonings
from alignloop.evaluation.verbalisers import (
    Template,
    Verbalisers,
    calibrated,
    class_probabilities,
    content_free_items,
)
from alignloop.files import rounded, write_json
from alignloop.markdown import plain, table
from alignloop.params import Params
from alignloop.pipeline.stage_files import hashes
from alignloop.seeds import draws, seed_of

WAYS = ("plain", "calibrated")


def command(arguments: Sequence[str]) -> int:
    """Classify every item; print the accuracies and keep the numbers."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.shots and not options.demonstrations:
        parser.error(f"--shots {options.shots}: name the file they are drawn from with --demonstrations")
    if options.shots < 0 or (options.limit is not None and options.limit < 1):
        parser.error("--shots: 0 or more; --limit: one item at least")
    template = Template(options.template.replace("\\n", "\n"))
    verbalisers = Verbalisers(dict(map(_class, options.labels)))
    root, params = Path.cwd(), parameters.load(Path("params.yaml"))
    make_deterministic(params, "classify")
    items = read_items(options.file, template.fields, options.label_field, verbalisers.classes)
    items = spread(items, options.limit or len(items))
    if options.shots:
        wanted = [*template.fields, *(["reasoning"] if template.reasons else [])]
        known = read_items(options.demonstrations, wanted, options.label_field, verbalisers.classes)
        template = _with_shots(template, verbalisers, known, items, shots=options.shots, seed=params.seed)
    model, tokenizer = load_policy(options.policy)
    given = [each.fields for each in items] + content_free_items(template.fields)
    if template.reasons:
        prompts = [template.opening(fields) for fields in given]
        begun = _reasoned(model, tokenizer, template, prompts, given, options=options, params=params)
    else:
        prompts, begun = [template.filled(fields) for fields in given], [""] * len(given)
    chances = class_probabilities(model, tokenizer, prompts, verbalisers, chat=options.chat, begun=begun)
    mine, free = chances[: len(items)], chances[len(items) :]
    found: dict[str, Tensor] = {"plain": mine, "calibrated": calibrated(mine, free)}
    report = _report(items, found, free, verbalisers.classes)
    about = {
        "policy": options.policy.as_posix(),
        "file": options.file.as_posix(),
        "template": options.template,
        "labels": " ".join(options.labels),
        "shots": options.shots,
        "chat": options.chat,
    }
    inputs = hashes(root, [path.as_posix() for path in (options.policy, options.file) if path.exists()])
    with tracking.run(root, "classify", params=about, inputs=inputs) as run:
        run.log(0, {f"classify/{way}": report[way]["rate"] for way in (*WAYS, "most_frequent")})
        with TemporaryDirectory() as folder:
            numbers, predictions = Path(folder, "classify.json"), Path(folder, "predictions.jsonl")
            write_json(numbers, report)
            read = [f"{prompt}{start}" for prompt, start in zip(prompts, begun, strict=True)]
            lines = _lines(items, read, found, verbalisers.classes)
            predictions.write_text("".join(lines), encoding="utf-8")
            run.finish({}, [(numbers, ""), (predictions, "")])
    if options.out:
        write_json(options.out, report)
    print(_text(report))
    return 0


def _reasoned(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    template: Template,
    openings: Sequence[str],
    given: Sequence[Mapping[str, str]],
    *,
    options: argparse.Namespace,
    params: Params,
) -> list[str]:
    """What follows each opening up to the label: the model's reasoning, and the template's text after it."""
    texts = write_reasonings(
        model,
        tokenizer,
        openings,
        chat=options.chat,
        temperature=params.evaluate.temperature,
        max_new_tokens=options.max_new_tokens or params.decoding.max_new_tokens,
        batch=params.decoding.responses_per_batch,
        seeds=[seed_of(params.seed, "classify", str(number)) % 2**31 for number in range(len(openings))],
    )
    filled = [template.filled({**item, "reasoning": text}) for item, text in zip(given, texts, strict=True)]
    return [text.removeprefix(opening) for text, opening in zip(filled, openings, strict=True)]


def _with_shots(
    template: Template,
    verbalisers: Verbalisers,
    known: Sequence[LabelledItem],
    items: Sequence[LabelledItem],
    *,
    shots: int,
    seed: int,
) -> Template:
    """The template after `shots` items of other texts, drawn once; classes take turns, so that none leads."""
    fields = template.fields
    measured = {tuple(each.fields[name] for name in fields) for each in items}
    apart = [each for each in known if tuple(each.fields[name] for name in fields) not in measured]
    order = [apart[place] for place in draws(seed, "classify", "shots").permutation(len(apart))]
    turns = {name: [each for each in order if each.label == name] for name in verbalisers.classes}
    mixed = [group[turn] for turn in range(shots) for group in turns.values() if turn < len(group)][:shots]
    if len(mixed) < shots:
        raise DataError(
            f"--demonstrations: {len(mixed)} items are not among those that are measured, {shots} are wanted"
        )
    return template.with_shots([(each.fields, verbalisers.words[each.label][0]) for each in mixed])


def _report(
    items: Sequence[LabelledItem], found: dict[str, Tensor], free: Tensor, classes: Sequence[str]
) -> dict[str, Any]:
    labels = [each.label for each in items]
    most = Counter(labels).most_common(1)[0][0]
    report: dict[str, Any] = {"items": len(items), "classes": dict(Counter(labels))}
    for way, chances in found.items():
        named = _named(chances, classes)
        right = Counter(one for one, other in zip(named, labels, strict=True) if one == other)
        report[way] = {
            **accuracy(named, labels),
            "named": {name: named.count(name) for name in classes},
            "recall": {name: right[name] / labels.count(name) for name in classes if name in labels},
        }
    report["most_frequent"] = accuracy([most] * len(labels), labels)
    report["content_free"] = dict(zip(classes, free.mean(0).tolist(), strict=True))
    return rounded(report)


def _named(chances: Tensor, classes: Sequence[str]) -> list[str]:
    return [classes[int(place)] for place in chances.argmax(1)]


def _lines(
    items: Sequence[LabelledItem], prompts: Sequence[str], found: dict[str, Tensor], classes: Sequence[str]
) -> list[str]:
    """A line of JSON for each item: what the model read, its class, and the chance of each."""
    lines: list[str] = []
    for place, item in enumerate(items):
        chances = {
            way: {name: round(float(each[place, number]), 6) for number, name in enumerate(classes)}
            for way, each in found.items()
        }
        row = {"prompt": prompts[place], "label": item.label, **chances}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return lines


def _text(report: dict[str, Any]) -> str:
    classes = list(report["content_free"])
    rows = [["", "accuracy", *(f"named {plain(name)}" for name in classes)]]
    for way in WAYS:
        numbers = report[way]
        rows.append([way, _interval(numbers), *(f"{numbers['named'][name]:,}" for name in classes)])
    rows.append(["most frequent class", _interval(report["most_frequent"]), *("" for _ in classes)])
    free = ", ".join(f"{plain(name)} {chance:.3f}" for name, chance in report["content_free"].items())
    return f"{report['items']:,} items\n\n{table(rows)}\n\nof content-free inputs the model says: {free}"


def _interval(numbers: dict[str, float]) -> str:
    return f"{numbers['rate']:.3f} [{numbers['low']:.3f}, {numbers['high']:.3f}]"


def _class(text: str) -> tuple[str, list[str]]:
    name, _, words = text.partition("=")
    return name, (words or name).split(",")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop classify", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="a row for each item")
    parser.add_argument("--policy", type=Path, required=True, help="a checkpoint, e.g. models/sft")
    parser.add_argument("--template", required=True, help='such as "Review: {text}\\nSentiment: {label}"')
    parser.add_argument(
        "--labels", nargs="+", required=True, metavar="CLASS=WORD,…", help="the words that stand for a class"
    )
    parser.add_argument("--label-field", default="label", help="the column with the class")
    parser.add_argument("--shots", type=int, default=0, help="demonstrations before each item")
    parser.add_argument("--demonstrations", type=Path, metavar="FILE", help="what shots are drawn from")
    parser.add_argument(
        "--chat", action="store_true", help="the template as a user's turn, the word as the response"
    )
    parser.add_argument(
        "--max-new-tokens", type=int, help="of a reasoning, instead of decoding.max_new_tokens"
    )
    parser.add_argument("--limit", type=int, help="at most LIMIT items, evenly spread")
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    return parser
