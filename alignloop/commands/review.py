"""`python -m alignloop review`: show the candidate beside the champion, and decide about it."""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap

from alignloop import params as parameters
from alignloop.evaluation.side_by_side import Contrasts, selection_rule
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.records import EvaluatedResponse
from alignloop.release import champion, decision_log, online
from alignloop.release.decision import decide
from alignloop.release.release_responses import RESPONSES, TAG, read_contrasts
from alignloop.tracking import registry
from alignloop.tracking.registry import Version

DECISIONS = 5  # earlier ones that are shown


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
        drift = champion.unlogged_changes(root, name)
        print("\n".join(_overview(root, registry.find(root, model), drift, options.items)))
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


def _overview(root: Path, version: Version, drift: Sequence[str], items: int) -> Iterator[str]:
    yield from (f"ATTENTION: {line}" for line in drift)
    yield f"{version.label}\n"
    verdict, examples = _described(version.description)
    yield verdict + "\n"
    if found := read_contrasts(root / RESPONSES, version.tags.get(TAG, "")):
        width = min(shutil.get_terminal_size((110, 40)).columns, 160)
        yield from _side_by_side(found, items, width)
    elif examples:
        yield examples + "\n"
    entries = decision_log.read_entries(root)
    yield from (
        ("decisions before:", *(entry.summary for entry in entries[-DECISIONS:]), "") if entries else ()
    )
    if wins := version.tags.get(online.TAG):
        yield f"online, people who chat: {wins}\n"
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


def _described(description: str) -> tuple[str, str]:
    """The verdict and the examples in a version's description, without its links to MLflow's pages."""
    _, *paragraphs = description.partition("\nBytes: ")[0].strip().split("\n\n")
    told = [each for each in paragraphs if not each.startswith(("![", "["))]
    ends = [place for place, each in enumerate(told, 1) if each.startswith("Wins by ")]
    end = ends[0] if ends else len(told)
    return "\n\n".join(told[:end]), "\n\n".join(told[end:])


def _side_by_side(found: Contrasts, items: int, width: int) -> Iterator[str]:
    """`items` prompts of each outcome, the candidate's response left and the other model's right."""
    half = (width - 3) // 2
    yield from wrap(selection_rule(found, items), width)
    other = next((each.other.model for each in (*found.better, *found.worse, *found.same)), "sft")
    for outcome, chosen in (("BETTER", found.better), ("WORSE", found.worse), ("THE SAME", found.same)):
        yield "═" * width
        yield f"THE CANDIDATE IS {outcome}" + ("" if chosen else " on no prompt")
        if chosen:
            yield f"{'THE CANDIDATE':{half}} │ {'SFT' if other == 'sft' else 'THE CHAMPION'}"
        for each in chosen[:items]:
            yield "─" * width
            for message in each.candidate.prompt.messages:
                yield from wrap(f"{message.role}: {_printable(message.content)}", width)
            lines = (_lines(response, half) for response in (each.candidate, each.other))
            for left, right in zip_longest(*lines, fillvalue=""):
                yield f"{left:{half}} │ {right}"
    yield "═" * width


def _lines(response: EvaluatedResponse, width: int) -> list[str]:
    """The response, its reward score, and its ground-truth (gold) score with whether it passes."""
    gold = ""
    if response.gold is not None:
        gold = f", gold {response.gold:.2f}: {'passes' if response.passed else 'fails'}"
    text = wrap(_printable(response.response), width) or ["(empty)"]
    return [*text, f"[score {response.score:.2f}{gold}]"]


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
    parser.add_argument("--items", type=int, default=3, help="number of prompts to show of each outcome")
    return parser
