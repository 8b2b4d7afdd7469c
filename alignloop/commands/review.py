"""`python -m alignloop review`: the candidate beside what it is compared with, and the decision about it; `rollback` undoes one."""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap

from alignloop import params as parameters
from alignloop.data.record_files import read
from alignloop.labeling.database import Store, store_url
from alignloop.records import Answer
from alignloop.release import champion
from alignloop.release.decision import decide
from alignloop.tracking import registry
from alignloop.tracking.registry import Version

ANSWERS = Path("data", "release", "answers.jsonl")


def command(arguments: Sequence[str]) -> int:
    """Show the candidate, decide about it, check the log, or put aliases back."""
    asked = _parser().parse_args(arguments)
    root, name = Path.cwd(), f"{parameters.load(Path('params.yaml')).release.registry}-policy"
    if asked.audit:
        known = champion.verify(root, name)
        print("\n".join([*(entry.summary for entry in known), f"{len(known)} entries, each as it was written"]))
        print("\n".join(champion.unlogged_changes(root, name)) or "aliases and releases/champion.json are as decided")
        return 0
    if asked.verb == "restore":
        entry = champion.restore(root, name, asked.name or "", asked.reason or "")
    elif asked.verb:
        store = Store(store_url(root))
        try:
            model = asked.model or f"{name}@candidate"
            entry = decide(
                root, store, asked.verb, model, asked.name or "", asked.reason or "", asked.despite_gates
            )
        finally:
            store.close()
    else:
        print(
            "\n".join(
                _shown(
                    registry.find(root, asked.model or f"{name}@candidate"),
                    champion.unlogged_changes(root, name),
                    asked.items,
                )
            )
        )
        return 0
    print(entry.summary)
    return 0


def rollback(arguments: Sequence[str]) -> int:
    """Make the previous champion the champion again."""
    parser = argparse.ArgumentParser("python -m alignloop rollback", description=rollback.__doc__)
    parser.add_argument("--name", required=True, help="who decides")
    parser.add_argument("--reason", required=True)
    asked = parser.parse_args(arguments)
    name = f"{parameters.load(Path('params.yaml')).release.registry}-policy"
    entry = champion.rollback(Path.cwd(), name, asked.name, asked.reason)
    print(f"{entry.summary}\nthe champion is {entry.champion}")
    return 0


def _shown(version: Version, drift: Sequence[str], items: int) -> Iterator[str]:
    yield from (f"ATTENTION: {line}" for line in drift)
    yield f"{version.label}\n"
    yield version.description.partition("\nBytes: ")[0].partition("\n\n")[2]
    if ANSWERS.exists():
        yield from _side_by_side(
            read(ANSWERS, Answer), items, min(shutil.get_terminal_size((120, 40)).columns, 160)
        )
    if decision := version.tags.get("decision"):
        yield f"decided: {decision}"
    elif version.tags.get("gates") == "passed":
        yield "decide: python -m alignloop review approve --name YOU --reason WHY   (or reject); then `make run` goes on"
    else:
        yield "its gates refused it, and the champion stays; to approve it all the same:"
        yield "python -m alignloop review approve --name YOU --reason WHY --despite-gates"


def _side_by_side(answers: Sequence[Answer], items: int, width: int) -> Iterator[str]:
    """The candidate's answers left and the other's right, for one prompt of each behaviour and then the next of each, unpicked."""
    mine = [answer for answer in answers if answer.model == "policy"]
    theirs = {answer.prompt.id: answer for answer in answers if answer.model != "policy"}
    places: dict[str, int] = {}
    order = []
    for answer in mine:
        places[answer.prompt.category] = places.get(answer.prompt.category, 0) + 1
        order.append((places[answer.prompt.category], answer.prompt.category, answer))
    half = (width - 3) // 2
    pairs = [
        (answer, theirs[answer.prompt.id])
        for _, _, answer in sorted(order, key=lambda part: part[:2])
        if answer.prompt.id in theirs
    ]
    if pairs:
        yield f"{'THE CANDIDATE':{half}} │ {'SFT' if pairs[0][1].model == 'sft' else 'THE CHAMPION'}"
    for one, other in pairs[:items]:
        yield "─" * width
        for message in one.prompt.messages:
            yield from wrap(f"{message.role}: {_plain(message.content)}", width)
        for left, right in zip_longest(_lines(one, half), _lines(other, half), fillvalue=""):
            yield f"{left:{half}} │ {right}"
    yield "─" * width


def _lines(answer: Answer, width: int) -> list[str]:
    judged = f"score {answer.score:.2f}" + (
        "" if answer.passed is None else ", passes gold" if answer.passed else ", fails gold"
    )
    return [*(wrap(_plain(answer.response), width) or ["(nothing)"]), f"[{judged}]"]


def _plain(text: str) -> str:
    """Text without signs that a terminal would obey."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "�" for sign in text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop review", description=__doc__)
    parser.add_argument(
        "verb",
        nargs="?",
        choices=("approve", "reject", "restore"),
        help="without one, the candidate is shown",
    )
    parser.add_argument("model", nargs="?", help="NAME/version or NAME@alias; the candidate by default")
    parser.add_argument("--name", help="who decides")
    parser.add_argument("--reason", help="why; it is kept in the log")
    parser.add_argument("--despite-gates", action="store_true", help="approve a model that its gates refused")
    parser.add_argument(
        "--audit",
        action="store_true",
        help="show the log of decisions and check that it is as it was written",
    )
    parser.add_argument("--items", type=int, default=9, help="how many prompts to show")
    return parser
