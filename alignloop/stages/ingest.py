"""Import every source, the built-in environment or files, into the record types.

The prompt of a ranking, a label or a demonstration is a prompt too: PPO needs prompts and no labels, so each
enters `prompts` once. Where a source names no user, the importer makes the conversation one. Where no source
holds demonstrations, the best-ranked responses of the rankings are the demonstrations. Every record states
where it was read: licence, file, line. Records that cannot be used are refused, counted by reason and listed
with their lines; they stop the stage when they are more than `ingest.max_refused` of a source, or all of it.
Records of users in `forgotten` are left out, and counted.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import chain
from math import ceil
from pathlib import Path
from typing import IO, Any

from alignloop.data import record_files
from alignloop.data.chosen_responses import demonstrations_in
from alignloop.data.forgotten import ForgottenUsers
from alignloop.data.formats import containers
from alignloop.data.formats.parsed_rows import ParsedRow, RecordLine, content_digest, parse_piece, parse_rows
from alignloop.data.formats.sniffing import glance
from alignloop.data.formats.sources import DEMONSTRATION_ROW, PREFERENCE_ROW, Source, find_sources
from alignloop.data.input_files import DataError, link_target
from alignloop.data.parquet_shards import SetWriter
from alignloop.data.record_files import line_of
from alignloop.data.workers import Workers
from alignloop.files import replacing, write_json
from alignloop.params.ingest import Ingest
from alignloop.params.section import Seed
from alignloop.progress import Progress
from alignloop.records import RARE_SETS, RAW_SETS, Demonstration, Origin, Record
from alignloop.tools.world_records import world_records

COUNTS = ("rows", "records", "kept", "refused", "changed")
SHOWN = 5  # lines named per reason
REASONS = 50  # distinct reasons in one source; later ones are counted together
LIBRARY = "library"  # the folder of documents to search, of the built-in environment
CHOSEN = "demonstrations from rankings"
NOT_CHOSEN = "rankings that give no demonstration"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet's formula begins
WORLD = Origin(licence="Apache-2.0")  # it is made by this project


def ingest(
    seed: Seed, plan: Ingest, sources: Path, forgotten: Path, out: Path, metrics: Path
) -> Iterator[Progress]:
    """Write documents, prompts, demonstrations and rankings, and count what was kept, refused and changed."""
    found = []
    if plan.reads_files:
        found = find_sources(sources, plan.formats, plan.columns, plan.licences, plan.domains)
    accounts: list[_Account] = []
    forgotten_users = ForgottenUsers(forgotten)
    with replacing(out) as part, Workers() as workers:
        part.mkdir()
        with ExitStack() as stack:
            files = {
                kind: stack.enter_context(record_files.writing(part / f"{name}.jsonl"))
                for kind, name in RAW_SETS.items()
            }
            refused = (part / "refused.csv").open("w", encoding="utf-8", newline="\n")
            raw = _Raw(files, stack.enter_context(refused), forgotten_users)
            if plan.makes_world:
                made = ((0, record) for record in world_records(seed, plan.world, part / LIBRARY))
                accounts.append(raw.add(_Account("world", "world", WORLD), parse_rows(made, WORLD)))
                yield Progress(1, 1, accounts[0].tally)
            for done, source in enumerate(found, 1):
                account = _Account(
                    source.name,
                    source.format,
                    Origin(licence=source.licence, sha256=source.sha256),
                    link=link_target(source.path),
                )
                accounts.append(raw.add(account, _rows(source, account.origin, workers)))
                counts = {name: account.tally[name] for name in (*account.sets(), *COUNTS)}
                yield Progress(done, len(found), counts, note=account.summary())
        _drop_empty(part)
        pairs = zip(found, accounts[len(accounts) - len(found) :], strict=True)
        problems = [
            line for source, account in pairs for line in _problems(source, account, plan.max_refused)
        ]
        if problems:
            raise DataError("\n".join(problems))
        if not any(account.tally["demonstrations"] for account in accounts):
            note = _take_chosen(part, accounts)
            counts = {"demonstrations": sum(account.tally["demonstrations"] for account in accounts)}
            yield Progress(len(found), len(found), counts, note)
        _check_sets(sources, accounts)
        report = json.dumps([account.report() for account in accounts], indent=2, ensure_ascii=False)
        (part / "sources.json").write_text(report + "\n", encoding="utf-8")
    write_json(metrics, _counts(accounts))


class _Account:
    """The counts of one source, the first lines refused for each reason, and the changes made."""

    def __init__(self, source: str, format: str, origin: Origin, link: Path | None = None) -> None:
        self.source = source
        self.format = format
        self.origin = origin
        self.link = link
        self.tally = Counter[str](dict.fromkeys(COUNTS, 0))
        self.refused: dict[str, list[int]] = defaultdict(list)  # the first lines
        self.changed = Counter[str]()

    def refuse(self, line: int, reason: str) -> str:
        reason = reason if reason in self.refused or len(self.refused) < REASONS else "other reasons"
        self.tally.update(["refused", f"refused: {reason}"])
        self.refused[reason] += [line] if len(self.refused[reason]) < SHOWN else []
        return reason

    def change(self, ways: Iterable[str]) -> None:
        self.tally["changed"] += 1
        self.changed.update(ways)
        self.tally.update(f"changed: {way}" for way in ways)

    def summary(self) -> str:
        """What the source was taken for, and what it gave."""
        names = (*RAW_SETS.values(), "changed", "refused", "forgotten")
        counts = [f"{self.tally[name]:,} {name}" for name in names if self.tally[name]]
        link = f" (a link to {self.link})" if self.link else ""
        return f"{self.source}{link}: read as {self.format}: {', '.join(counts) or 'no records'}"

    def sets(self) -> list[str]:
        """The names of the sets; of those that are rare, the ones that this source is in."""
        rare = {RAW_SETS[kind] for kind in RARE_SETS}
        return [name for name in RAW_SETS.values() if name not in rare or self.tally[name]]

    def report(self) -> dict[str, Any]:
        counts = {name: self.tally[name] for name in (*COUNTS, *self.sets())}
        reasons = {
            reason: {"records": self.tally[f"refused: {reason}"], "lines": lines}
            for reason, lines in self.refused.items()
        }
        about = {
            "source": self.source,
            "format": self.format,
            "licence": self.origin.licence,
            "sha256": self.origin.sha256,
        }
        if self.link:
            about["link"] = str(self.link)
        return {**about, **counts, "refused for": reasons, "changed in": dict(self.changed)}


class _Raw:
    """The files being written, with the prompts and ids that are in them already."""

    def __init__(
        self, files: Mapping[type[Record], SetWriter], refused: IO[str], forgotten: ForgottenUsers
    ) -> None:
        self._files, self._forgotten = files, forgotten
        self._refused = csv.writer(refused, lineterminator="\n")
        self._refused.writerow(["source", "line", "reason"])
        self._prompts, self._ids = set[bytes](), set[bytes]()  # hashes: a million of each must fit
        self._times = Counter[bytes]()

    def add(self, account: _Account, found: Iterable[ParsedRow]) -> _Account:
        """Write a source's records and the prompts in them; count what is kept and list what is refused."""
        tally, before = account.tally, None
        for row, refused, user, ways, record, prompt, withdrawn in found:
            tally["rows"] += row != before or not row
            tally["records"] += 1
            before = row
            if record is None:
                reason = account.refuse(row, refused or "")
                tally.update(["withdrawn"] if withdrawn else [])
                self._refused.writerow([_cell(account.source), row, _cell(reason)])
                continue
            if user in self._forgotten:
                tally["forgotten"] += 1
                continue
            tally["kept"] += 1
            if again := self._write(record, tally):
                ways = (*ways, again)
            if ways:
                account.change(ways)
            if prompt and (record.kind is not Demonstration or account.source != "world"):
                if prompt.digest in self._prompts:
                    tally["repeated prompts"] += 1
                else:
                    self._write(prompt, tally)
        return account

    def _write(self, line: RecordLine, tally: Counter[str]) -> str | None:
        """Write a record; an id that is there already gets a number appended, which counts as a change."""
        name, text = RAW_SETS[line.kind], line.text
        if line.digest:
            self._prompts.add(line.digest)
        key = content_digest(name, line.id)
        if again := key in self._ids:
            self._times[key] += 1
            record: Any = line.kind.model_validate_json(text, strict=True)
            text = line_of(record.model_copy(update={"id": f"{line.id[:180]}-{self._times[key] + 1}"}))
        self._ids.add(key)
        self._files[line.kind].add(text, line.kind)
        tally[name] += 1
        return "repeated id, a number appended" if again else None


def _cell(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _rows(source: Source, origin: Origin, workers: Workers) -> Iterator[ParsedRow]:
    """The rows of a source; workers read those of files whose lines are separate rows."""
    if source.reader.read_piece and containers.container_of(source.path) == "lines":
        read = partial(parse_piece, source.reader.read_piece, origin, source.domain)
        return chain.from_iterable(workers.map(read, containers.line_pieces(source.path)))
    return parse_rows(source.reader.read(source.path, source.name), origin, source.domain)


def _counts(accounts: list[_Account]) -> dict[str, Any]:
    """The metrics: all sources together, each by itself, and the records kept under each licence."""
    total = Counter[str]()
    licences = Counter[str]()
    for account in accounts:
        total.update(account.tally)
        licences[account.origin.licence] += account.tally["kept"]
    by_source = {
        f"{account.source} ({account.format})": dict(sorted(account.tally.items())) for account in accounts
    }
    return {
        "total": dict(sorted(total.items())),
        "licences": dict(sorted(licences.items())),
        "sources": by_source,
    }


def _problems(source: Source, account: _Account, bound: float) -> list[str]:
    tally, format = account.tally, source.format
    if not tally["records"]:
        return [f"{source.path}: holds no record of format {format}; fetch it again or take it away"]
    share = (tally["refused"] - tally["withdrawn"]) / tally["records"]
    if share <= bound and (tally["kept"] or tally["forgotten"]):
        return []
    reasons = [
        f"{reason} ({tally[f'refused: {reason}']}: line {_some(account, reason)})"
        for reason in account.refused
    ]
    count = (
        f"{source.path}: {tally['refused']} of {tally['records']} records of format {format} are refused: "
        f"{'; '.join(reasons)}"
    )
    if not tally["kept"]:
        return [
            f"{count}; {glance(source.path)}; correct it, or state its format in ingest.formats or its "
            "columns in ingest.columns (data/README.md)"
        ]
    remedy = (
        "correct them, state another format in ingest.formats, or raise ingest.max_refused to "
        f"{ceil(share * 1000) / 1000:g}"
    )
    return [f"{count}; {remedy} (now {bound:g})"]


def _some(account: _Account, reason: str) -> str:
    more = ", …" if account.tally[f"refused: {reason}"] > SHOWN else ""
    return ", ".join(map(str, account.refused[reason])) + more


def _take_chosen(raw: Path, accounts: list[_Account]) -> str:
    """Write the best-ranked responses of the raw rankings as the demonstrations; returns what was done."""
    by_file = {account.origin.sha256: account.tally for account in accounts}
    total = Counter[str]()
    with record_files.writing(raw / "demonstrations.jsonl") as file:
        for ranking, demonstration in demonstrations_in(raw / "rankings.jsonl"):
            tally = by_file[ranking.origin.sha256 if ranking.origin else None]
            made = CHOSEN if demonstration else NOT_CHOSEN
            for counter in (tally, total):
                counter[made] += 1
            if demonstration:
                tally["demonstrations"] += 1
                file.write(demonstration)
    unclear = f"; {total[NOT_CHOSEN]:,} give none: no single best response, or one met before"
    return (
        f"no source holds demonstrations: the best-ranked responses of {total[CHOSEN]:,} rankings are the "
        f"demonstrations{unclear if total[NOT_CHOSEN] else ''}"
    )


def _drop_empty(raw: Path) -> None:
    """Remove the files of rare sets that hold nothing."""
    for kind in RARE_SETS:
        if not (file := raw / f"{RAW_SETS[kind]}.jsonl").stat().st_size:
            file.unlink()


def _check_sets(sources: Path, accounts: list[_Account]) -> None:
    if not any(account.tally["demonstrations"] for account in accounts):
        raise DataError(
            f"{sources}: no file holds demonstrations, nor rankings whose best response could be one; add a "
            f"file of rows like {DEMONSTRATION_ROW} or {PREFERENCE_ROW}"
        )
