"""A gate before anything trains: data that breaks a rule stops the pipeline, and the message says where.

Three suites: `raw` is what ingest wrote; `sets` is what models learn from and are measured on (split,
redacted, bounded); `rankings` is every ranking known at a round, before its reward model learns from them.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alignloop.data.input_files import DataError
from alignloop.data.record_files import files
from alignloop.data.validation import record_tables
from alignloop.data.validation.expectations import (
    Check,
    ValidationFailed,
    Violation,
    content_rules,
    run_checks,
    schema_rules,
    training_rules,
)
from alignloop.data.validation.profiles import profile_of
from alignloop.data.workers import Workers
from alignloop.files import write_json
from alignloop.params.validate import Validate
from alignloop.progress import Progress
from alignloop.records import (
    LABELS,
    RARE_SETS,
    RAW_SETS,
    BinaryLabel,
    Demonstration,
    Document,
    Prompt,
    Ranking,
    Record,
)

MAY_BE_EMPTY = (Ranking, Document)
Files = dict[Path, str | None]  # each with its split, None where the lines tell it


def _raw(data: Path) -> dict[str, tuple[type[Record], Files]]:
    return {
        name: (kind, dict.fromkeys(files(data / f"{name}.jsonl")))
        for kind, name in RAW_SETS.items()
        if kind not in RARE_SETS or (data / f"{name}.jsonl").exists()
    }


def _sets(data: Path) -> dict[str, tuple[type[Record], Files]]:
    def split(name: str, *splits: str) -> Files:
        return {file: split for split in splits for file in files(data / name / f"{split}.jsonl")}

    return {
        "prompts": (Prompt, split("prompts", "train", "valid", "test")),
        "demonstrations": (Demonstration, split("demonstrations", "train", "valid", "test")),
        "corpus": (Document, split("corpus", "train", "valid")),
        **_rankings(data / "rankings" / "imported"),
    }


def _rankings(data: Path) -> dict[str, tuple[type[Record], Files]]:
    sets: dict[str, tuple[type[Record], Files]] = {"rankings": (Ranking, dict.fromkeys(files(data)))}
    if (data / LABELS).exists():
        sets["labels"] = (BinaryLabel, dict.fromkeys(files(data / LABELS)))
    return sets


SUITES: dict[str, Callable[[Path], dict[str, tuple[type[Record], Files]]]] = {
    "raw": _raw,
    "sets": _sets,
    "rankings": _rankings,
}


def validate(
    bounds: Validate, suite: str, data: Path, docs: Path, profile: Path, metrics: Path
) -> Iterator[Progress]:
    """Check the suite's sets; write data docs, profiles and counts. Raises ValidationFailed."""
    if suite not in SUITES:
        raise DataError(f"there is no suite '{suite}'; known are {', '.join(SUITES)}")
    sets = SUITES[suite](data)
    with Workers() as workers:
        how = {"generated": suite == "rankings", "private": suite != "raw", "workers": workers}
        rows = {name: record_tables.record_table(kind, paths, **how) for name, (kind, paths) in sets.items()}
    for name, (kind, _) in sets.items():
        if rows[name].empty and (kind not in MAY_BE_EMPTY or suite == "rankings"):
            raise DataError(f"{data}: the {name} are empty; add data to the sources, and run from `ingest`")
    record_tables.mark_leaks(rows.values())
    checks = []
    for name, (kind, _) in sets.items():
        if not rows[name].empty:
            rules = [*schema_rules(kind), *content_rules(kind, bounds)]
            rules = rules if suite == "raw" else [*rules, *training_rules(kind, bounds)]
            checks.append(Check(name, rows[name], rules, _notes(data / "sources.json", name)))
    counts: dict[str, dict[str, int]] = {}
    violations: list[Violation] = []
    for check, found in run_checks(suite, checks, docs):
        violations += found
        counts[check.name] = {"rows": len(check.rows), "rules": len(check.rules), "violations": len(found)}
        yield Progress(
            len(counts),
            len(checks),
            {f"{check.name} {what}": count for what, count in counts[check.name].items()},
        )
    write_json(profile, {name: profile_of(table) for name, table in rows.items() if not table.empty})
    write_json(metrics, counts)
    if violations:
        raise ValidationFailed(
            "\n".join([*map(str, violations), f"{len(violations)} violations; {docs}/index.html shows them"])
        )


def _notes(ledger: Path, name: str) -> tuple[str, ...]:
    """What `ingest` did with each source of a set, for the data docs; texts of sources are escaped."""
    if not ledger.exists():
        return ()
    sources = [
        source
        for source in json.loads(ledger.read_text(encoding="utf-8"))
        if source.get(name) or source["refused"]
    ]
    return ("**What ingest did, source by source:**", *map(_note, sources))


def _note(source: dict[str, Any]) -> str:
    counts = ", ".join(f"{source[count]:,} {count}" for count in ("rows", "kept", "refused", "changed"))
    hashed = f", SHA-256 {source['sha256'][:16]}…" if source["sha256"] else ""
    lines = [f"{source['source']} ({source['format']}, licence {source['licence']}{hashed}): {counts}"]
    for reason, what in source["refused for"].items():
        lines.append(f"refused {what['records']:,}: {reason} (line {', '.join(map(str, what['lines']))}, …)")
    lines += [f"changed {times:,}: {way}" for way, times in source["changed in"].items()]
    return "\n".join(f"{'    ' * (place > 0)}* {_plain(line)}" for place, line in enumerate(lines))


def _plain(text: str) -> str:
    """Text that Markdown does not take for its own; the pages escape HTML themselves."""
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", text)
