"""`python -m alignloop review`: show the candidate beside the champion, and decide about it."""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap

from alignloop import params as parameters
from alignloop.data.record_files import read
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.records import EvaluatedResponse
from alignloop.release import champion
from alignloop.release.decision import decide
from alignloop.tracking import registry
from alignloop.tracking.registry import Version

RESPONSES = Path("data", "release", "responses.jsonl")


def command(arguments: Sequence[str]) -> int:
    """Show the candidate, decide about it, verify the log of decisions, or restore the aliases."""
    options = _parser().parse_args(arguments)
    root, name = Path.cwd(), f"{parameters.load(Path('params.yaml')).release.registry}-policy"
    model = options.model or f"{name}@candidate"
    if options.audit:
        entries = champion.verify(root, name)
        print("\n".join([*(entry.summary for entry in entries), f"{len(entries)} entries, all unchanged"]))
        drift = champion.unlogged_changes(root, name)
        print("\n".join(drift) or "aliases and releases/champion.json match the log")
        return 0
    if options.verb is None:
        print(
            "\n".join(
                _overview(registry.find(root, model), champion.unlogged_changes(root, name), options.items)
            )
        )
        return 0
    decider, reason = options.name or "", options.reason or ""
    if options.verb == "restore":
        entry = champion.restore(root, name, decider, reason)
    else:
        database = LabelingDatabase(database_url(root))
        try:
            entry = decide(
                root,
                database,
                options.verb,
                model,
                who=decider,
                reason=reason,
                despite_gates=options.despite_gates,
            )
        finally:
            database.close()
    print(entry.summary)
    return 0


def _overview(version: Version, drift: Sequence[str], items: int) -> Iterator[str]:
    yield from (f"ATTENTION: {line}" for line in drift)
    yield f"{version.label}\n"
    yield version.description.partition("\nBytes: ")[0].partition("\n\n")[2]
    if RESPONSES.exists():
        width = min(shutil.get_terminal_size((120, 40)).columns, 160)
        yield from _side_by_side(read(RESPONSES, EvaluatedResponse), items, width)
    if decision := version.tags.get("decision"):
        yield f"decided: {decision}"
    elif version.tags.get("gates") == "passed":
        yield (
            "decide: python -m alignloop review approve --name YOU --reason WHY   (or reject); "
            "then `make run` continues"
        )
    else:
        yield "the gates refused it, and the champion stays; to approve it anyway:"
        yield "python -m alignloop review approve --name YOU --reason WHY --despite-gates"


def _side_by_side(responses: Sequence[EvaluatedResponse], items: int, width: int) -> Iterator[str]:
    """The candidate's responses left and the other model's right, one prompt of each category in turn."""
    candidate = [each for each in responses if each.model == "policy"]
    other = {each.prompt.id: each for each in responses if each.model != "policy"}
    counts: dict[str, int] = {}
    order = []
    for response in candidate:
        category = response.prompt.category
        counts[category] = counts.get(category, 0) + 1
        order.append((counts[category], category, response))
    half = (width - 3) // 2
    pairs = [
        (response, other[response.prompt.id])
        for _, _, response in sorted(order, key=lambda part: part[:2])
        if response.prompt.id in other
    ]
    if pairs:
        yield f"{'THE CANDIDATE':{half}} │ {'SFT' if pairs[0][1].model == 'sft' else 'THE CHAMPION'}"
    for left, right in pairs[:items]:
        yield "─" * width
        for message in left.prompt.messages:
            yield from wrap(f"{message.role}: {_printable(message.content)}", width)
        for one, two in zip_longest(_lines(left, half), _lines(right, half), fillvalue=""):
            yield f"{one:{half}} │ {two}"
    yield "─" * width


def _lines(response: EvaluatedResponse, width: int) -> list[str]:
    """The response, its reward score, and whether it passes its prompt's ground-truth (gold) check."""
    verdict = {None: "", True: ", passes gold", False: ", fails gold"}[response.passed]
    text = wrap(_printable(response.response), width) or ["(empty)"]
    return [*text, f"[score {response.score:.2f}{verdict}]"]


def _printable(text: str) -> str:
    """The text with control characters replaced, so that it cannot control the terminal."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "�" for sign in text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop review", description=__doc__)
    parser.add_argument(
        "verb",
        nargs="?",
        choices=("approve", "reject", "restore"),
        help="without one, the candidate is shown",
    )
    parser.add_argument("model", nargs="?", help="NAME/version or NAME@alias; default: the candidate")
    parser.add_argument("--name", help="who decides")
    parser.add_argument("--reason", help="the reason, which is recorded in the log")
    parser.add_argument("--despite-gates", action="store_true", help="approve a model that its gates refused")
    parser.add_argument(
        "--audit", action="store_true", help="show the log of decisions and verify that it is unchanged"
    )
    parser.add_argument("--items", type=int, default=9, help="number of prompts to show")
    return parser
