"""Forgetting a user: out of the sources, every set, the labeling store, DVC's cache and remotes; and which models learned from them.

Each step may be repeated, and what can fail for reasons outside (a remote that is away) comes last: after a failure, the same command
goes on. What models learned stays in them; they are named and marked, and the next run makes all that depends on the data anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alignloop import params as parameters
from alignloop.data.content_ids import content_id
from alignloop.data.forgotten import ForgottenUsers
from alignloop.data.formats import row_removal
from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.sources import Source, find_sources
from alignloop.data.record_files import read_rows, remove_records
from alignloop.errors import AlignloopError
from alignloop.labeling import erasure
from alignloop.lineage import graph as lineage
from alignloop.lineage import show
from alignloop.lineage.graph import Graph
from alignloop.lineage.log import FOLDER, RECORDS, named
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.dvc_pipeline import VersioningError
from alignloop.records import Demonstration, Prompt, Ranking
from alignloop.tracking import registry

LIST = Path("data/forgotten.txt")
SOURCES = Path("data/sources")
POLICY = f"{FOLDER}policy/"  # rollouts know a prompt by its id only, so they are looked at last
Row = dict[str, Any]


class ForgettingError(AlignloopError):
    """There is nothing of this user to forget, or something of theirs could not be removed."""


@dataclass
class Person:
    """A user by the ids that records may have, and the ids of the prompts of theirs that were met."""

    user: str
    prompts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.names = {
            self.user,
            content_id("user", self.user),
        }  # the latter is `prepare`'s, where an id is personal data itself

    def owns(self, row: Row) -> bool:
        """Whether a record is the user's: their prompt or demonstration, or made of a prompt of theirs."""
        prompt = row.get("prompt")
        asked = prompt if isinstance(prompt, dict) else row
        if asked.get("user") in self.names:
            self.prompts.add(str(asked.get("id")))
            return True
        return isinstance(prompt, str) and prompt in self.prompts


@dataclass
class Traces:
    """Where versions of sets hold a user: objects of DVC's cache, and versions whose training part does; what could not be looked at."""

    objects: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    learned: set[str] = field(default_factory=set)
    unseen: list[str] = field(default_factory=list)


def forget(root: Path, user: str) -> Iterator[str]:
    """Forget a user, and tell line by line what was done."""
    person, graph, known = Person(user), lineage.graph(root, commits=True), ForgottenUsers(root / LIST)
    # 1. Look everywhere; who is nowhere is not written down.
    traces, brought, present = look(root, graph, person), _sources(root, person), _sets(root, person)
    if not (user in known or traces.objects or brought or present or erasure.held(root, person.names)):
        told = "no source, set, version of a set or labeling item holds anything of this user; nothing was changed"
        raise ForgettingError(f"{user}: {told}. `data show ID` tells the user of a record")
    # 2. The list first: from here on no run takes the user in, whatever else happens.
    mark = known.add(user)
    yield f"noted      {mark} in {LIST}: `ingest` leaves this user out from now on"
    # 3. What is there now. A row that holds others as well goes whole.
    for path, lines in brought.items():
        name = path.relative_to(root).as_posix()
        left = row_removal.remove_rows(path, lines)
        yield f"removed    {len(lines):,} rows from {name}" + (
            "" if left else ", and the file, for no other is left"
        )
    for file in present:
        yield f"removed    {remove_records(file, person.owns):,} records from {file.relative_to(root).as_posix()}"
    if counts := erasure.forget(root, person.names, mark):
        yield f"removed    {', '.join(f'{count:,} {what}' for what, count in counts.items())} from the labeling store"
    # 4. Who learned from it.
    yield from _models(root, graph, traces, mark)
    # 5. What versions of before hold.
    yield from _versions(root, traces)
    yield f"next       `git add {LIST} && git commit`, and `make run`: it makes anew what is affected. What the models above learned stays"
    yield "           in them until they are replaced; so does what MLflow keeps of pages (mlruns/artifacts) and what others have copied"


def look(root: Path, graph: Graph, person: Person) -> Traces:
    """Look through every version of every set that DVC's cache holds."""
    traces, pipeline, seen = Traces(), dvc_pipeline.pipeline(root), dict[str, tuple[int, int]]()
    made = {
        (path, hash)
        for making in graph.makings
        for path, hash in making.outputs.items()
        if path.startswith(FOLDER)
    }
    for path, hash in sorted(made, key=lambda pair: (pair[0].startswith(POLICY), pair)):
        try:
            contents = pipeline.contents(hash)
        except VersioningError:
            traces.unseen.append(f"{path} {hash}")
            continue
        for name, object in contents.items():
            whole = f"{path}/{name}" if name else path
            if Path(whole).suffix not in RECORDS:
                continue
            place = pipeline.place(object)
            if object not in seen and not place.exists():
                traces.unseen.append(f"{whole} {object}")
                continue
            if object not in seen:
                seen[object] = _count(path, whole, place, person)
            found, learned = seen[object]
            if found:
                traces.objects[object] = found
                traces.folders |= {hash} if name else set()
            if learned:
                traces.learned.add(hash)
    return traces


def _count(path: str, name: str, place: Path, person: Person) -> tuple[int, int]:
    found = [show.Place(path, name, line, row, True) for line, row in read_rows(place) if person.owns(row)]
    return len(found), sum(each.learned for each in found)


def _sources(root: Path, person: Person) -> dict[Path, set[int]]:
    """The lines of each source that hold the user."""
    plan = parameters.load(root / "params.yaml").ingest
    found: dict[Path, set[int]] = {}
    if plan.source == "files":
        for source in find_sources(root / SOURCES, plan.formats, plan.columns, plan.licences):
            lines = _lines(source, person)
            if lines and row_removal.one_row_per_line(source.path):
                lines = _lines(source, person)
            found |= {source.path: lines} if lines else {}
    return found


def _lines(source: Source, person: Person) -> set[int]:
    return {line for line, item in source.reader.read(source.path, source.name) if _is_of(item, person)}


def _is_of(item: Any, person: Person) -> bool:
    record = item.record if isinstance(item, Changed) else item
    if isinstance(record, Refused):
        return False
    asked = record.prompt if isinstance(record, Ranking) else record
    return isinstance(asked, Prompt | Demonstration) and asked.user in person.names


def _sets(root: Path, person: Person) -> list[Path]:
    """The files of the sets in the workspace that hold the user. Once they are changed, DVC makes them anew."""
    names = sorted(show.sets(root), key=lambda path: path.startswith(POLICY))
    held = [file for path in names for file in show.set_files(root, path).values()]
    return [file for file in held if sum(person.owns(row) for _, row in read_rows(file))]


def _models(root: Path, graph: Graph, traces: Traces, mark: str) -> Iterator[str]:
    """Mark and name every model that learned from the user, itself or by way of a model it was made from."""
    makings, _ = lineage.reached(graph, *traces.learned, through=("models/",))
    made = {
        (path, hash): making
        for making in makings
        for path, hash in making.outputs.items()
        if path.startswith("models/")
    }
    for (path, hash), making in made.items():
        for version in graph.versions.get(hash, ()):
            registry.tag(root, version, f"forgotten:{mark[:12]}", f"{datetime.now(UTC):%Y-%m-%d}")
            yield f"marked     {version.label} in the registry: forgotten:{mark[:12]}"
        yield f"learned    {named(graph, path, hash)}  ({making.label})"
    if not made and traces.unseen:
        yield "learned    no model from what can still be read; what learned from versions that are gone bears its mark, `forgotten:…`"
    elif not made:
        yield "learned    no model that this MLflow store or dvc.lock knows of"


def _versions(root: Path, traces: Traces) -> Iterator[str]:
    """Remove the objects that hold the user from remotes and cache; with them, lists of folders that would miss them."""
    pipeline, hashes = dvc_pipeline.pipeline(root), [*traces.objects, *sorted(traces.folders)]
    for remote in pipeline.remotes():
        yield f"removed    {pipeline.erase(hashes, remote):,} objects from the remote {remote}"
    yield f"removed    {pipeline.erase(hashes):,} objects of earlier and present versions from DVC's cache"
    if traces.unseen:
        yield f"not seen   {len(traces.unseen):,} versions or files of versions whose bytes are not here: {', '.join(traces.unseen[:5])}"
        yield "           other clones' caches and a remote may hold them: `dvc fetch --all-commits` there, and this command again"
