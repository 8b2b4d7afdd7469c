"""`label export` and `label import`: a round goes to Label Studio or Argilla, and what people ranked there comes back."""

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from alignloop.data.formats.sniffing import sniff
from alignloop.labeling import rounds
from alignloop.labeling.database import Store
from alignloop.labeling.exchange import argilla, external_rounds, label_studio
from alignloop.labeling.exchange.items import ExchangeError
from alignloop.web.settings import Settings

TOOLS: dict[str, ModuleType] = {each.TOOL: each for each in (label_studio, argilla)}


def add_verbs(verbs: "_SubParsersAction[Any]") -> None:
    """Declare both verbs."""
    out = verbs.add_parser("export", help="write a round's items for Label Studio or Argilla")
    out.add_argument("--to", choices=sorted(TOOLS), required=True)
    out.add_argument(
        "--answers",
        action="store_true",
        help="with what labelers said so far; their ids there come from --people",
    )
    back = verbs.add_parser("import", help="keep what people said of a round's items there")
    back.add_argument("--leave-out", action="store_true", help="go on without what is refused")
    for verb in (out, back):
        verb.add_argument("--round", required=True)
        verb.add_argument(
            "--people",
            type=Path,
            help="YAML: a labeler's name here, and the number (or, in Argilla, the UUID) there",
        )
        verb.add_argument("file", type=Path)


def export(store: Store, settings: Settings, asked: Namespace) -> None:
    """Write the round's items, and what the other tool needs to show them."""
    with store.reading() as session:
        offers = external_rounds.offers(session, asked.round, settings.version, asked.answers)
    if not offers:
        raise ExchangeError(f"round {asked.round} has no items")
    files = TOOLS[asked.to].write(asked.file, offers, settings.guidelines, _people(asked.people))
    print(f"{len(offers)} items of round {asked.round} in {' and '.join(map(str, files))}")


def bring(store: Store, asked: Namespace) -> None:
    """Keep what came back, and say how far the round is."""
    tool = TOOLS.get(sniff(asked.file))
    if tool is None:
        raise ExchangeError(
            f"{asked.file}: is no export of {' or '.join(sorted(TOOLS))}; docs/labeling.md says how to make one"
        )
    found = external_rounds.bring(
        store, asked.round, tool.read(asked.file, _people(asked.people)), str(asked.file), asked.leave_out
    )
    with store.reading() as session:
        state = rounds.progress(session, asked.round)
    for words in found.refused:
        print(f"left out: {words}")
    print(
        f"{found.rankings} rankings and {found.skips} skips by {', '.join(sorted(found.labelers)) or 'nobody'}; {found.known} known before"
    )
    print(f"round {asked.round}: {state.done} of {state.wanted}, {state.missing} missing")


def _people(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ExchangeError(f"{file}: cannot be read: {error}") from None
    fits = isinstance(given, dict) and all(
        isinstance(here, str) and isinstance(there, str | int) for here, there in given.items()
    )
    if not fits or len({str(there) for there in given.values()}) < len(given):
        raise ExchangeError(f"{file}: write a line for each person, `labeler-ada: 7`, and nobody's id twice")
    return {here: str(there) for here, there in given.items()}
