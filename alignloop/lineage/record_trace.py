"""`data show`: trace a record from the line of its source through the data sets to the models."""

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
from alignloop.labeling.chat_records import version_in
from alignloop.lineage.graph import Graph, chronological, descendants, load_graph
from alignloop.lineage.log import DATA, HASH_CHARACTERS, RECORD_SUFFIXES, model_label, record_files, versions
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.dvc_errors import VersioningError
from alignloop.pipeline.stage_files import entries
from alignloop.records import Demonstration, Document, Ranking, prompt_of

QUOTE_CHARACTERS = 300  # of a source's line
LISTED_RECORDS = 3  # of the records about it, per set
TRAINED, MEASURED = "learned from by", "measured on by "
Row = dict[str, Any]


class RecordNotImportedError(AlignloopError):
    """No data set holds this record."""


@dataclass(frozen=True)
class Occurrence:
    """A record in a set, or (`is_record` False) another record about it, such as a ranking of a prompt."""

    path: str
    file: str
    line: int
    row: Row
    is_record: bool

    @property
    def is_training_data(self) -> bool:
        """Whether models are trained on it: it is in the training split, or in no split."""
        split = self.row.get("split") or Path(self.file.partition(".jsonl")[0]).name
        return split not in ("valid", "test")


def present_sets(root: Path) -> list[str]:
    """Return the pipeline's data sets that exist in the workspace, in its order."""
    outs = dict.fromkeys(out for entry in entries(root) for out in entry.outs if out.startswith(DATA))
    return [out for out in outs if (root / out).exists()]


def set_files(root: Path, path: str) -> dict[str, Path]:
    """Return the record files of a set in the workspace, by their paths in the project."""
    place = root / path
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    return {file.relative_to(root).as_posix(): file for file in files if file.suffix in RECORD_SUFFIXES}


def occurrences(path: str, files: Mapping[str, Path], id: str) -> Iterator[Occurrence]:
    """Yield the record's occurrences in a version of a set."""
    for name, file in files.items():
        for line, row in read_rows(file):
            prompt = row.get("prompt")
            about = prompt.get("id") if isinstance(prompt, dict) else prompt
            if id in (row.get("id"), about):
                yield Occurrence(path, name, line, row, row.get("id") == id)


def trace_record(root: Path, id: str) -> Iterator[str]:
    """Yield where the record comes from, where it is, and which models saw it, as lines of text."""
    matches = {path: list(occurrences(path, set_files(root, path), id)) for path in present_sets(root)}
    graph = load_graph(root, commits=True)
    if not any(matches.values()):
        yield from _earlier_versions(root, graph, id)
        return
    first = next(each for found in matches.values() for each in found)
    yield from _heading(id, first)
    yield from _source(root, first.row if first.is_record else first.row["prompt"])
    for path, found in matches.items():
        yield from _places(path, found)
    if not any(found for path, found in matches.items() if not path.startswith(f"{DATA}raw")):
        yield "left out   by `prepare`: metrics/prepare.json counts the reasons"
    by_hash = {dvc_pipeline.hash_of(root / path, root): found for path, found in matches.items() if found}
    yield from _models(graph, by_hash)


def _heading(id: str, first: Occurrence) -> Iterator[str]:
    prompt = first.row.get("prompt")
    row = first.row if first.is_record or not isinstance(prompt, dict) else prompt
    about = row["prompt"] if isinstance(row.get("prompt"), dict) else row
    fields = [f"{name} {about[name]}" for name in ("user", "category") if about.get(name)]
    fields += [f"{name} {row[name]}" for name in ("labeler", "ranks") if row.get(name)]
    yield ", ".join([id, *fields])
    turns = about.get("messages") or [{"role": "text", "content": about.get("text") or ""}]
    yield from (f"  {turn['role']}: {_shortened(turn['content'])}" for turn in turns)
    if isinstance(row.get("good"), bool):
        yield f"  {'good' if row['good'] else 'bad'} response: {_shortened(str(row.get('response')))}"
    for number, response in enumerate(row.get("responses", ()), 1):
        yield f"  response {number}: {_shortened(response)}"


def _source(root: Path, row: Any) -> Iterator[str]:
    if teacher := row.get("teacher") if isinstance(row, dict) else None:
        version = " ".join(filter(None, (teacher["model"], teacher["fingerprint"]))) or "no version stated"
        yield (
            f"written by the teacher {teacher['name']} ({version}), {teacher['way']}, terms "
            f"{teacher['terms']}, prompt SHA-256 {teacher['prompt_sha256'][:HASH_CHARACTERS]}"
        )
    prompt = row.get("prompt") if isinstance(row, dict) else None
    asked = prompt if isinstance(prompt, dict) else row
    if isinstance(asked, dict) and (version := version_in(str(asked.get("source")))):
        who = str(row.get("policy") or version)
        yield f"said in chat with {who}: `python -m alignloop lineage {version}` shows what that learned from"
    row = prompt if isinstance(prompt, dict) and not row.get("origin") else row
    origin = row.get("origin") if isinstance(row, dict) else None
    if not origin:
        yield "comes from a stage of the pipeline, not from a source"
        return
    if not origin.get("sha256"):
        yield f"comes from {row.get('source')}, which `ingest` makes, licence {origin['licence']}"
        return
    file = root / "data" / "raw" / "sources.json"
    sources = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    source = next((each for each in sources if each["sha256"] == origin["sha256"]), None)
    name = f"data/sources/{source['source']}" if source else "a file that data/raw/sources.json does not list"
    about = f", format {source['format']}" if source else ""
    sha256 = origin["sha256"][:HASH_CHARACTERS]
    yield f"comes from {name}:{origin['line']}{about}, licence {origin['licence']}, SHA-256 {sha256}"
    if source and (root / name).exists():
        yield f"  {quote_source(root / name, source, row)}"


def quote_source(path: Path, source: Row, row: Row) -> str:
    """Quote what is now on the line that a record comes from.

    Where several rows, or pieces of text, begin on that line, the one that gives the record is quoted.
    """
    line, is_text = row["origin"]["line"], source["format"] == "text"
    candidates: list[Any]
    if is_text:
        items = (item for at, item in TEXT.read(path, source["source"]) if at == line)
        pieces = [item for item in items if isinstance(item, Document)]
        candidates = [piece.text or "" for piece in pieces]
        matches = [place for place, piece in enumerate(pieces) if piece.id == row["id"]]
    else:
        candidates = [value for at, value in containers.read(path) if at == line]
        matches = _matching_rows(candidates, source, row) if len(candidates) > 1 else []
    if len(candidates) > 1 and not matches:
        return f"{len(candidates):,} rows begin there now; which of them gave the record is unknown"
    if not candidates:
        return "no row begins there now"
    value = candidates[matches[0] if matches else 0]
    text = value if is_text else json.dumps(value, ensure_ascii=False, default=str)
    return f"now on that line: {_shortened(text)}"


def _matching_rows(rows: Sequence[Any], source: Row, row: Row) -> list[int]:
    """Return which of some rows give a record, by an import of each from a line of its own."""
    if source["format"] not in FORMATS:  # mapped columns; params.yaml may map them differently by now
        return []
    with tempfile.TemporaryDirectory(prefix="alignloop-rows-") as folder:
        copy = Path(folder) / "rows.json"
        copy.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8", newline="\n")
        return [
            line - 2
            for line, item in FORMATS[source["format"]].read(copy, source["source"])
            if _gives(item, row)
        ]


def _gives(item: Imported, row: Row) -> bool:
    """Whether an imported item is a record, or the one that `ingest` takes it from (a ranking's prompt)."""
    record: Any = item.record if isinstance(item, Changed) else item
    if isinstance(record, Refused):
        return False
    if isinstance(record, Demonstration) and "labeler" not in row:
        return [turn.model_dump() for turn in record.messages[:-1]] == row.get("messages")
    if isinstance(record, Ranking) and "labeler" in row and "messages" in row:  # a chosen response
        *asked, answered = row["messages"]
        own = [turn.model_dump() for turn in record.prompt.messages]
        return own == asked and answered["content"] in record.responses
    asked: Any = prompt_of(record)
    return row["id"] in (record.id, asked.id)


def _places(path: str, found: list[Occurrence]) -> Iterator[str]:
    for each in found:
        if each.is_record:
            yield f"is in      {each.file}:{each.line}"
    about = [each for each in found if not each.is_record]
    if about:
        shown = (
            f"{each.row.get('id')} ({Path(each.file).name}:{each.line})" for each in about[:LISTED_RECORDS]
        )
        more = ", …" if len(about) > LISTED_RECORDS else ""
        yield f"is in      {path}, in {len(about):,} records about it: {', '.join(shown)}{more}"


def _models(graph: Graph, found: Mapping[str, list[Occurrence]]) -> Iterator[str]:
    """Yield the models that were trained on the record, measured on it, or made from models trained on it."""
    trained = [hash for hash, each in found.items() if any(place.is_training_data for place in each)]
    measured = [hash for hash in found if hash not in trained]
    uses: dict[tuple[str, str], str] = {}
    for use, hashes in ((TRAINED, trained), (MEASURED, measured)):
        for execution in chronological(graph):
            models = [pair for pair in execution.outputs.items() if pair[0].startswith("models/")]
            if models and set(execution.inputs.values()) & set(hashes):
                for path, hash in models:
                    if uses.setdefault((path, hash), use) == use:
                        yield f"{use}  {model_label(graph, path, hash)}  ({execution.label})"
    hashes = [hash for (_, hash), use in uses.items() if use == TRAINED]
    executions, _ = descendants(graph, *hashes, through=("models/",))
    later = {
        (path, hash): None
        for execution in executions
        for path, hash in execution.outputs.items()
        if path.startswith("models/")
    }
    if rest := [model_label(graph, path, hash) for path, hash in later if (path, hash) not in uses]:
        yield f"built on these: {', '.join(rest)}"
    if not uses:
        yield "no model that this MLflow store or dvc.lock knows of has seen it"


def _earlier_versions(root: Path, graph: Graph, id: str) -> Iterator[str]:
    """Yield the earlier versions of sets that held the record, if their bytes are still in DVC's cache."""
    is_found = False
    for path, each in versions(root, graph).items():
        for version in each:
            try:
                files = record_files(root, path, version.hash)
            except VersioningError:
                continue
            present = {name: file for name, file in files.items() if file.exists()}
            for place in list(occurrences(path, present, id))[:1]:
                models = ", ".join(version.models) or "no model"
                yield f"was in {place.file}:{place.line} of {version.hash}, used by {models}"
                is_found = True
    if not is_found:
        raise RecordNotImportedError(
            f"{id}: is in no set, now or in DVC's cache; give the `id` of a record in {DATA}"
        )


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= QUOTE_CHARACTERS else f"{text[: QUOTE_CHARACTERS - 2]} …"
