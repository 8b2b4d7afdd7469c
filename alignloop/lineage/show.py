"""One record followed from the line of its source through the sets to the models that saw it."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignloop.data.formats import FORMATS, containers
from alignloop.data.formats.importer import Changed, Imported, Refused
from alignloop.data.formats.text import TEXT
from alignloop.data.record_files import read_rows
from alignloop.errors import AlignloopError
from alignloop.lineage import graph as lineage
from alignloop.lineage.graph import Graph
from alignloop.lineage.log import FOLDER, RECORDS, SHORT, named, record_files, versions
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.dvc_pipeline import VersioningError
from alignloop.pipeline.stage_files import entries
from alignloop.records import Demonstration, Document, Ranking

QUOTED = 300  # characters of a source's line
LISTED = 3  # records about it that are named per set
Row = dict[str, Any]


class TrailError(AlignloopError):
    """No set holds this record."""


@dataclass(frozen=True)
class Place:
    """Where a record stands in a set: itself, or in another about it (a ranking of a prompt)."""

    path: str
    file: str
    line: int
    row: Row
    itself: bool

    @property
    def learned(self) -> bool:
        """Whether models learn from it there: it is in no split, or in that for training."""
        split = self.row.get("split") or Path(self.file.partition(".jsonl")[0]).name
        return split not in ("valid", "test")


def sets(root: Path) -> list[str]:
    """The sets of the pipeline that are there, in its order."""
    outs = dict.fromkeys(out for entry in entries(root) for out in entry.outs if out.startswith(FOLDER))
    return [out for out in outs if (root / out).exists()]


def set_files(root: Path, path: str) -> dict[str, Path]:
    """The files of records of a set in the workspace, by their paths in the project."""
    place = root / path
    found = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    return {file.relative_to(root).as_posix(): file for file in found if file.suffix in RECORDS}


def places(path: str, held: Mapping[str, Path], id: str) -> Iterator[Place]:
    """Where the record stands in a version of a set."""
    for name, file in held.items():
        for line, row in read_rows(file):
            prompt = row.get("prompt")
            about = prompt.get("id") if isinstance(prompt, dict) else prompt
            if id in (row.get("id"), about):
                yield Place(path, name, line, row, row.get("id") == id)


def follow(root: Path, id: str) -> Iterator[str]:
    """The record's trail as lines for people."""
    found = {path: list(places(path, set_files(root, path), id)) for path in sets(root)}
    graph = lineage.graph(root, commits=True)
    if not any(found.values()):
        yield from _before(root, graph, id)
        return
    first = next(place for each in found.values() for place in each)
    yield from _heading(id, first)
    yield from _source(root, first.row if first.itself else first.row["prompt"])
    for path, each in found.items():
        yield from _standing(path, each)
    if not any(each for path, each in found.items() if not path.startswith(f"{FOLDER}raw")):
        yield "left out   by `prepare`: metrics/prepare.json counts the reasons"
    yield from _models(
        graph, {dvc_pipeline.hash_of(root / path, root): each for path, each in found.items() if each}
    )


def _heading(id: str, first: Place) -> Iterator[str]:
    row = first.row if first.itself or not isinstance(first.row.get("prompt"), dict) else first.row["prompt"]
    about = row["prompt"] if isinstance(row.get("prompt"), dict) else row
    told = [f"{name} {about[name]}" for name in ("user", "category") if about.get(name)]
    told += [f"{name} {row[name]}" for name in ("labeler", "ranks") if row.get(name)]
    yield ", ".join([id, *told])
    said = about.get("messages") or [{"role": "text", "content": about.get("text") or ""}]
    yield from (f"  {turn['role']}: {_short(turn['content'])}" for turn in said)
    yield from (
        f"  answer {number}: {_short(answer)}" for number, answer in enumerate(row.get("responses", ()), 1)
    )


def _source(root: Path, row: Any) -> Iterator[str]:
    asked = row.get("prompt") if isinstance(row, dict) else None
    row = asked if isinstance(asked, dict) and not row.get("origin") else row
    origin = row.get("origin") if isinstance(row, dict) else None
    if not origin:
        yield "comes from a stage of the pipeline, not from a source"
        return
    if not origin.get("sha256"):
        yield f"comes from {row.get('source')}, which `ingest` makes, licence {origin['licence']}"
        return
    ledger = root / "data" / "raw" / "sources.json"
    known = json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else []
    source = next((each for each in known if each["sha256"] == origin["sha256"]), None)
    name = f"data/sources/{source['source']}" if source else "a file that data/raw/sources.json does not know"
    about = f", format {source['format']}" if source else ""
    yield f"comes from {name}:{origin['line']}{about}, licence {origin['licence']}, SHA-256 {origin['sha256'][:SHORT]}"
    if source and (root / name).exists():
        yield f"  {there(root / name, source, row)}"


def there(path: Path, source: Row, row: Row) -> str:
    """What begins now on the line that a record comes from: of several rows, or pieces of text, the one that gives the record."""
    line = row["origin"]["line"]
    if source["format"] == "text":
        pieces = [
            item
            for at, item in TEXT.read(path, source["source"])
            if at == line and isinstance(item, Document)
        ]
        begun, own = (
            [piece.text or "" for piece in pieces],
            [place for place, piece in enumerate(pieces) if piece.id == row["id"]],
        )
    else:
        begun = [value for at, value in containers.read(path) if at == line]
        own = _giving(begun, source, row) if len(begun) > 1 else []
    if len(begun) > 1 and not own:
        return f"{len(begun):,} rows begin there now; which of them gave it cannot be told"
    if not begun:
        return "no row begins there now"
    now = begun[own[0] if own else 0]
    return f"as it stands there now: {_short(now if source['format'] == 'text' else json.dumps(now, ensure_ascii=False, default=str))}"


def _giving(begun: Sequence[Any], source: Row, row: Row) -> list[int]:
    """Which of some rows give a record: they are read again, each on a line of its own."""
    if source["format"] not in FORMATS:  # mapped columns, and params.yaml may map them otherwise by now
        return []
    with tempfile.TemporaryDirectory(prefix="alignloop-rows-") as folder:
        copy = Path(folder) / "rows.json"
        copy.write_text("[\n" + ",\n".join(map(json.dumps, begun)) + "\n]\n", encoding="utf-8", newline="\n")
        return [
            line - 2
            for line, item in FORMATS[source["format"]].read(copy, source["source"])
            if _gives(item, row)
        ]


def _gives(item: Imported, row: Row) -> bool:
    """Whether what an importer found is a record, or what `ingest` takes the record from: a ranking's prompt, a demonstration's."""
    record: Any = item.record if isinstance(item, Changed) else item
    if isinstance(record, Refused):
        return False
    if isinstance(record, Demonstration) and "labeler" not in row:
        return [turn.model_dump() for turn in record.messages[:-1]] == row.get("messages")
    return row["id"] in (record.id, record.prompt.id if isinstance(record, Ranking) else None)


def _standing(path: str, each: list[Place]) -> Iterator[str]:
    own, about = [place for place in each if place.itself], [place for place in each if not place.itself]
    for place in own:
        yield f"stands in  {place.file}:{place.line}"
    if about:
        names = ", ".join(
            f"{place.row.get('id')} ({Path(place.file).name}:{place.line})" for place in about[:LISTED]
        )
        yield f"stands in  {path}, in {len(about):,} records about it: {names}{', …' * (len(about) > LISTED)}"


def _models(graph: Graph, found: Mapping[str, list[Place]]) -> Iterator[str]:
    """Who learned from it, who was measured on it, and what was built on those who learned."""
    learned = [hash for hash, each in found.items() if any(place.learned for place in each)]
    told = dict[tuple[str, str], str]()
    for way, hashes in (
        ("learned from by", learned),
        ("measured on by ", [hash for hash in found if hash not in learned]),
    ):
        for making in lineage.in_time(graph):
            made = {path: hash for path, hash in making.outputs.items() if path.startswith("models/")}
            if made and set(making.inputs.values()) & set(hashes):
                for path, hash in made.items():
                    if told.setdefault((path, hash), way) == way:
                        yield f"{way}  {named(graph, path, hash)}  ({making.label})"
    makings, _ = lineage.reached(
        graph, *(hash for (_, hash), way in told.items() if way == "learned from by"), through=("models/",)
    )
    later = {
        (path, hash): None
        for making in makings
        for path, hash in making.outputs.items()
        if path.startswith("models/")
    }
    if rest := [named(graph, path, hash) for path, hash in later if (path, hash) not in told]:
        yield f"built on these: {', '.join(rest)}"
    if not told:
        yield "no model that this MLflow store or dvc.lock knows of has seen it"


def _before(root: Path, graph: Graph, id: str) -> Iterator[str]:
    """Where earlier versions of sets held it, as far as their bytes are still there."""
    found = False
    for path, each in versions(root, graph).items():
        for version in each:
            try:
                held = {
                    name: file
                    for name, file in record_files(root, path, version.hash).items()
                    if file.exists()
                }
            except VersioningError:
                continue
            for place in list(places(path, held, id))[:1]:
                yield f"was in {place.file}:{place.line} of {version.hash}, used by {', '.join(version.models) or 'no model'}"
                found = True
    if not found:
        raise TrailError(
            f"{id}: stands in no set, now or in DVC's cache; give the `id` of a record in {FOLDER}"
        )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= QUOTED else f"{text[: QUOTED - 2]} …"
