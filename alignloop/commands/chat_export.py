"""`chat export`: what people said in chat, with their consent, as sources for `ingest`."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

from alignloop.data import record_files
from alignloop.errors import AlignloopError
from alignloop.files import replacing
from alignloop.labeling import chat_records, consent
from alignloop.labeling.chat_records import ChatRecords
from alignloop.labeling.consent import Statement
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.suggestion_records import add_suggestions
from alignloop.markdown import plain
from alignloop.params import Params

SOURCES = Path("data", "sources")
KINDS = {
    chat_records.PROMPTS: "prompts",
    chat_records.DEMONSTRATIONS: "demonstrations",
    chat_records.COMPARISONS: "rankings of two responses that were compared",
    chat_records.EDITS: "rankings of an edit above its response",
    chat_records.THUMBS: "rankings of thumbs up above thumbs down",
    chat_records.LABELS: "binary labels, of thumbs alone and of suggestions",
}
README = "README.md"


class ChatExportError(AlignloopError):
    """Nothing was written; the message says why."""


@dataclass(frozen=True)
class Export:
    """What may be used now, by kind of record, and the statement that people have agreed to."""

    found: ChatRecords
    statement: Statement

    def lines(self) -> dict[str, list[str]]:
        """The lines of each file, by its name."""
        return {
            f"{kind}.jsonl": [record_files.line_of(record) for record in records]
            for kind, records in self.found.records.items()
        }


def collect(database: LabelingDatabase, params: Params, until: float = inf) -> Export:
    """What people said until a moment (seconds since 1970) and agree to have used now."""
    plan = params.serving
    statement = consent.read_statement(Path.cwd(), plan.consent, plan.feedback_licence)
    with database.reading() as session:
        found = chat_records.collect(session, statement, params.validate_.max_responses, until)
        add_suggestions(session, statement, found, until)
    return Export(found, statement)


def write(export: Export, out: Path) -> list[str]:
    """Write the records into a folder in place of those of an earlier export; returns what was done."""
    files = {f"{kind}.jsonl" for kind in KINDS} | {README}
    if out.exists() and not (out.is_dir() and {path.name for path in out.iterdir()} <= files):
        raise ChatExportError(f"{out}: holds other files than an earlier export; name a folder of its own")
    lines_of_report = report(export, out)
    with replacing(out) as part:
        part.mkdir()
        for name, lines in export.lines().items():
            (part / name).write_text("".join(lines), encoding="utf-8")
        text = "\n".join(f"- {plain(line)}" for line in lines_of_report)
        about = "Made by `python -m alignloop chat export`, which replaces this folder."
        (part / README).write_text(f"# Chat\n\n{about}\n\n{text}\n", encoding="utf-8")
    return lines_of_report


def report(export: Export, out: Path) -> list[str]:
    """What is written and what is left out, in lines, and what `ingest` needs to read it."""
    return list(_report(export.found, export.statement, out))


def _report(found: ChatRecords, statement: Statement, out: Path) -> Iterator[str]:
    for kind, words in KINDS.items():
        if records := found.records.get(kind):
            yield f"{len(records):,} {words}: {kind}.jsonl"
    if not found.records:
        yield "no record: nothing was said that may be used"
    yield f"of {len(found.people):,} people; statement {statement.version}"
    for kind, count in sorted(found.redacted.items()):
        yield f"redacted: {count:,} {kind}"
    for (what, reason), count in sorted(found.left_out.items()):
        yield f"left out: {count:,} {what} {reason}"
    name = out.resolve()
    sources = SOURCES.resolve()
    pattern = f"{name.relative_to(sources).as_posix()}/*" if name.is_relative_to(sources) else f"{out.name}/*"
    yield f"licence: {statement.licence}; params.yaml needs {_licences(pattern, statement.licence)}"


def _licences(pattern: str, licence: str) -> str:
    return f"""ingest.licences: {{"{pattern}": {licence}}}"""
