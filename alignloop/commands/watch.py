"""`python -m alignloop watch`: what people who chat think of the champion, the one before it, the candidate.

Writes the candidate's win rates on its version in MLflow, an alarm into the audit. Exit status 3: alarm.
`watch drift` compares served prompts, of people who agree to their use, with the training prompts.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alignloop import params as parameters
from alignloop.commands import chat_export
from alignloop.errors import AlignloopError
from alignloop.labeling import chat_records
from alignloop.labeling.database import DATABASE_FILE, LabelingDatabase, existing_database
from alignloop.lineage.drift import served
from alignloop.lineage.drift.served import ServedDrift
from alignloop.release import online
from alignloop.release.online import Look
from alignloop.serving.served_version import served_versions

ALARM = 3


class NothingServed(AlignloopError):
    """There is no database of opinions."""


def command(arguments: Sequence[str]) -> int:
    """Look, record what was found, and print it."""
    parser = argparse.ArgumentParser("python -m alignloop watch", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["opinions", "drift"], default="opinions")
    if parser.parse_args(arguments).what == "drift":
        print("\n".join(_lines_of_drift(drift(Path.cwd()))))
        return 0
    found, _ = watch(Path.cwd())
    print("\n".join(_lines(found)))
    return ALARM if found.rise and found.rise.is_found else 0


def watch(root: Path) -> tuple[Look, bool]:
    """Look and record; whether there is an alarm that was not there before."""
    params = parameters.load(root / "params.yaml")
    serving = params.serving
    with _database(root) as database:
        versions = served_versions(root, params.release.registry)
        found = online.look(database, versions, serving.model, serving.alarm_error)
        return found, online.record(root, database, found)


def drift(root: Path) -> ServedDrift:
    """Compare the served prompts with the training prompts."""
    params = parameters.load(root / "params.yaml")
    with _database(root) as database:
        prompts = chat_export.collect(database, params).found.records[chat_records.PROMPTS]
    return served.measure(root, prompts, params.validate_.drift.model_dump())


@contextmanager
def _database(root: Path) -> Iterator[LabelingDatabase]:
    with existing_database(root) as database:
        if database is None:
            raise NothingServed(
                f"{DATABASE_FILE}: there is none; `make chat` makes it, people's thumbs fill it"
            )
        yield database


def _lines_of_drift(found: ServedDrift) -> Iterator[str]:
    yield f"{found.served:,} served prompts beside {found.trained:,} training prompts"
    for each in found.shifts:
        change = f"{each.measure}: {each.statistic} {each.before} → {each.now}"
        bound = "no bound" if each.bound is None else f"bound {each.bound:g}"
        verdict = "; look at it" if each.exceeds_bound else ""
        yield f"{change}; moved by {each.distance:.3f} ({each.chance:.3f} by chance, {bound}){verdict}"
    yield f"{served.FOLDER}/drift.html shows it"


def _lines(found: Look) -> Iterator[str]:
    yield f"{'version':40} {'thumbs up':>9} {'down':>6} {'people':>6}  of them down"
    for each in found.rated:
        thumbs, people = each.thumbs, each.people
        counts = f"{thumbs.misses:9,.0f} {thumbs.hits:6,.0f} {people.total:6,.0f}"
        yield f"{each.version.label:40} {counts}  {each.down}"
    if not found.rated:
        yield "no version is registered; `make run` makes one"
    if found.rise:
        yield found.rise.sentence
    else:
        yield "no alarm: there is no previous champion to compare with"
    if found.online:
        said = found.online.sentence or "nobody has compared them yet"
        yield f"{found.online.candidate.version.label}, online: {said}"
