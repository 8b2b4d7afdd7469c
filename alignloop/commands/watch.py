"""`python -m alignloop watch`: what people who chat think of the champion, the one before it, the candidate.

Writes the candidate's win rates on its version in MLflow, and an alarm into the audit. Exit status 3: alarm.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from alignloop import params as parameters
from alignloop.errors import AlignloopError
from alignloop.labeling.database import DATABASE_FILE, existing_database
from alignloop.release import online
from alignloop.release.online import Look
from alignloop.serving.served_version import served_versions

ALARM = 3


class NothingServed(AlignloopError):
    """There is no database of opinions."""


def command(arguments: Sequence[str]) -> int:
    """Look, record what was found, and print it."""
    argparse.ArgumentParser("python -m alignloop watch", description=__doc__).parse_args(arguments)
    found, _ = watch(Path.cwd())
    print("\n".join(_lines(found)))
    return ALARM if found.rise and found.rise.is_found else 0


def watch(root: Path) -> tuple[Look, bool]:
    """Look and record; whether there is an alarm that was not there before."""
    params = parameters.load(root / "params.yaml")
    serving = params.serving
    with existing_database(root) as database:
        if database is None:
            raise NothingServed(
                f"{DATABASE_FILE}: there is none; `make chat` makes it, and people's thumbs fill it"
            )
        versions = served_versions(root, params.release.registry)
        found = online.look(database, versions, serving.model, serving.alarm_error)
        return found, online.record(root, database, found)


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
