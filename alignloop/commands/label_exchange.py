"""`label export` and `label import`: rank a round in Label Studio or Argilla and import the rankings."""

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from alignloop.data.formats.sniffing import sniff
from alignloop.labeling import rounds
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.exchange import argilla, external_rounds, label_studio
from alignloop.labeling.exchange.items import ExchangeError
from alignloop.web.settings import Settings

TOOLS: dict[str, ModuleType] = {each.TOOL: each for each in (label_studio, argilla)}


def add_verbs(verbs: "_SubParsersAction[Any]") -> None:
    """Add both verbs to the parser of `label`."""
    out = verbs.add_parser("export", help="write a round's items for Label Studio or Argilla")
    out.add_argument("--to", choices=sorted(TOOLS), required=True)
    out.add_argument(
        "--answers",
        action="store_true",
        help="with the rankings so far; --people gives the labelers' IDs in the other tool",
    )
    back = verbs.add_parser("import", help="import the rankings that were made there")
    back.add_argument("--leave-out", action="store_true", help="import the others if some are refused")
    for verb in (out, back):
        verb.add_argument("--round", required=True)
        verb.add_argument(
            "--people",
            type=Path,
            help="YAML: labeler IDs, each with the number (in Argilla: the UUID) in the other tool",
        )
        verb.add_argument("file", type=Path)


def export_round(database: LabelingDatabase, settings: Settings, options: Namespace) -> None:
    """Write the round's items, and the settings that the other tool needs to show them."""
    tool = TOOLS[options.to]
    with database.reading() as session:
        items = external_rounds.round_items(
            session, options.round, settings.guidelines_version, options.answers, tool.EQUAL_ONCE
        )
    if not items:
        raise ExchangeError(f"round {options.round} has no items")
    files = tool.write(options.file, items, settings.guidelines, _people(options.people))
    print(f"{len(items)} items of round {options.round} in {' and '.join(map(str, files))}")


def import_round(database: LabelingDatabase, options: Namespace) -> None:
    """Import the rankings of an export file, and print the progress of the round."""
    tool = TOOLS.get(sniff(options.file))
    if tool is None:
        raise ExchangeError(
            f"{options.file}: is not an export of {' or '.join(sorted(TOOLS))}; "
            "docs/labeling.md describes how to make one"
        )
    result = external_rounds.import_rankings(
        database,
        options.round,
        tool.read(options.file, _people(options.people)),
        str(options.file),
        options.leave_out,
    )
    with database.reading() as session:
        state = rounds.progress(session, options.round)
    for reason in result.refused:
        print(f"refused: {reason}")
    if result.tied:
        print(f"{result.tied} rankings had equal responses apart: they tie at the better rank")
    print(
        f"{result.rankings} rankings and {result.skips} skips by "
        f"{', '.join(sorted(result.labelers)) or 'no labeler'}; {result.known} imported before"
    )
    print(f"round {options.round}: {state.done} of {state.wanted}, {state.missing} missing")


def _people(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        people = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ExchangeError(f"{file}: cannot be read: {error}") from None
    is_valid = isinstance(people, dict) and all(
        isinstance(here, str) and isinstance(there, str | int) for here, there in people.items()
    )
    if not is_valid or len({str(there) for there in people.values()}) < len(people):
        raise ExchangeError(f"{file}: write a line for each person, `labeler-ada: 7`, and no ID twice")
    return {here: str(there) for here, there in people.items()}
