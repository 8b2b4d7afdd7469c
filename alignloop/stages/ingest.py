"""Bring every source into the four record types: the embedded world, or whatever files lie in the sources' directory.

A ranking's prompt, and a demonstration's, is a prompt too: PPO needs prompts and no labels, so each enters `prompts` once. Where a
source knows no user, the importer makes the conversation one. Every record says where it was read: licence, file, line. What a source
holds and we cannot use is refused, counted by reason and listed with its line, and stops the stage when it is more than
`ingest.max_refused` of that source, or all of it. Records of users whom `forgotten` lists are left out, and counted.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import IO, Any

from alignloop.io import datasets
from alignloop.io.datasets import DataError
from alignloop.io.files import replacing, write_json
from alignloop.io.forgotten import Forgotten
from alignloop.io.identity import SEPARATOR, identify
from alignloop.io.importers import Changed, Item, Refused, glance
from alignloop.io.importers.source import Source
from alignloop.io.importers.source import sources as found_in
from alignloop.io.shards import Writer
from alignloop.params import Params
from alignloop.records import Demonstration, Document, Origin, Prompt, Ranking, Record
from alignloop.stages.progress import Progress
from alignloop.world.generate import make_world

SETS: dict[type[Record], str] = {Document: "documents", Prompt: "prompts", Demonstration: "demonstrations", Ranking: "rankings"}
COUNTS = ("rows", "records", "kept", "refused", "changed")
SHOWN = 5  # lines named per reason
REASONS = 50  # reasons told apart in one source
WORLD = Origin(licence="Apache-2.0")  # it is made by this project


def ingest(params: Params, sources: Path, forgotten: Path, out: Path, metrics: Path) -> Iterator[Progress]:
    """Write documents, prompts, demonstrations and rankings, and how many of each source were kept, refused and changed."""
    plan = params.ingest
    found = [] if plan.source == "world" else found_in(sources, plan.formats, plan.columns, plan.licences)
    accounts: list[_Account] = []
    gone = Forgotten(forgotten)
    with replacing(out) as part:
        part.mkdir()
        with ExitStack() as stack:
            files = {kind: stack.enter_context(datasets.writing(part / f"{name}.jsonl")) for kind, name in SETS.items()}
            raw = _Raw(files, stack.enter_context((part / "refused.csv").open("w", encoding="utf-8", newline="\n")), gone)
            if plan.source == "world":
                world = make_world(params.seed, plan.world)
                made = ((0, record) for record in (*world.documents, *world.prompts, *world.demonstrations))
                accounts.append(raw.keep(_Account("world", "world", WORLD), made, lambda line: WORLD))
                yield Progress(1, 1, accounts[0].tally)
            for done, source in enumerate(found, 1):
                account = _Account(source.name, source.format, Origin(licence=source.licence, sha256=source.sha256))
                accounts.append(raw.keep(account, source.reader.read(source.path, source.name), account.at))
                yield Progress(done, len(found), {name: account.tally[name] for name in (*SETS.values(), *COUNTS)})
        pairs = zip(found, accounts, strict=plan.source == "files")
        if breaches := [breach for source, account in pairs for breach in _breaches(source, account, plan.max_refused)]:
            raise DataError("\n".join(breaches))
        _all_there(sources, accounts)
        told = json.dumps([account.told() for account in accounts], indent=2, ensure_ascii=False)
        (part / "sources.json").write_text(told + "\n", encoding="utf-8")
    write_json(metrics, _counts(accounts))


class _Account:
    """What became of one source: counts, the lines of what was refused by reason, and how often what was changed."""

    def __init__(self, source: str, format: str, origin: Origin) -> None:
        self.source, self.format, self.origin = source, format, origin
        self.tally = Counter[str](dict.fromkeys(COUNTS, 0))
        self.refused: dict[str, list[int]] = defaultdict(list)  # the first lines
        self.changed = Counter[str]()

    def at(self, line: int) -> Origin:
        return Origin(licence=self.origin.licence, sha256=self.origin.sha256, line=line)

    def refuse(self, line: int, reason: str) -> str:
        reason = reason if reason in self.refused or len(self.refused) < REASONS else "other reasons"
        self.tally.update(["refused", f"refused: {reason}"])
        self.refused[reason] += [line] if len(self.refused[reason]) < SHOWN else []
        return reason

    def change(self, ways: Iterable[str]) -> None:
        self.tally["changed"] += 1
        self.changed.update(ways)
        self.tally.update(f"changed: {way}" for way in ways)

    def told(self) -> dict[str, Any]:
        counts = {name: self.tally[name] for name in (*COUNTS, *SETS.values())}
        reasons = {reason: {"records": self.tally[f"refused: {reason}"], "lines": lines} for reason, lines in self.refused.items()}
        about = {"source": self.source, "format": self.format, "licence": self.origin.licence, "sha256": self.origin.sha256}
        return {**about, **counts, "refused for": reasons, "changed in": dict(self.changed)}


class _Raw:
    """The open files, which prompts they hold already, and which ids."""

    def __init__(self, files: Mapping[type[Record], Writer], refused: IO[str], forgotten: Forgotten) -> None:
        self._files, self._forgotten = files, forgotten
        self._refused = csv.writer(refused, lineterminator="\n")
        self._refused.writerow(["source", "line", "reason"])
        self._prompts, self._ids = set[bytes](), set[bytes]()  # hashes: a million of each is to fit
        self._times = Counter[bytes]()

    def keep(self, account: _Account, items: Iterable[Item], origin: Callable[[int], Origin]) -> _Account:
        """Write a source's records and the prompts in them; count what was kept, and list what was refused."""
        tally, before = account.tally, None
        for line, item in items:
            tally["rows"] += line != before or not line
            tally["records"] += 1
            before = line
            if isinstance(item, Refused):
                self._refused.writerow([account.source, line, account.refuse(line, item.reason)])
                continue
            record, ways = item if isinstance(item, Changed) else (item, ())
            if _user(record) in self._forgotten:
                tally["forgotten"] += 1
                continue
            tally["kept"] += 1
            traced = record.model_copy(update={"origin": origin(line)})
            if again := self._write(traced, tally):
                ways = (*ways, again)
            if ways:
                account.change(ways)
            if isinstance(traced, Ranking):
                self._write_new(traced.prompt, tally, traced.origin)
            if isinstance(traced, Demonstration) and account.source != "world":
                self._write_new(_prompt_of(traced), tally, traced.origin)
        return account

    def _write(self, record: Any, tally: Counter[str]) -> str | None:
        """Write a record; one whose id stands there already gets a number behind it, which is a change."""
        if isinstance(record, Prompt):
            self._prompts.add(_signature(record))
        key = _hash(SETS[type(record)], record.id)
        again = key in self._ids
        self._ids.add(key)
        if again:
            self._times[key] += 1
        numbered = record.model_copy(update={"id": f"{record.id[:180]}-{self._times[key] + 1}"}) if again else record
        self._files[type(record)].write(numbered)
        tally[SETS[type(record)]] += 1
        return "its id numbered, for it is met again" if again else None

    def _write_new(self, prompt: Prompt, tally: Counter[str], origin: Origin | None) -> None:
        if _signature(prompt) in self._prompts:
            tally["prompts met again"] += 1
        else:
            self._write(prompt.model_copy(update={"origin": origin}), tally)


def _hash(*content: str) -> bytes:
    return blake2b(SEPARATOR.join(content).encode(), digest_size=8).digest()


def _signature(prompt: Prompt) -> bytes:
    return _hash(prompt.id, prompt.user, *(f"{message.role}:{message.content}" for message in prompt.messages))


def _user(record: Record) -> str | None:
    """Whose record it is: its prompt's user; a document is nobody's."""
    asked = record.prompt if isinstance(record, Ranking) else record
    return asked.user if isinstance(asked, Prompt | Demonstration) else None


def _prompt_of(demonstration: Demonstration) -> Prompt:
    asked = demonstration.messages[:-1]
    name = identify("prompt", demonstration.user, *(message.content for message in asked))
    about = demonstration.model_dump(include={"user", "category", "time", "source"})
    return Prompt(id=name, messages=asked, **about)


def _counts(accounts: list[_Account]) -> dict[str, Any]:
    """What the metrics file holds: all sources together, each by itself, and the records kept under each licence."""
    total = Counter[str]()
    licences = Counter[str]()
    for account in accounts:
        total.update(account.tally)
        licences[account.origin.licence] += account.tally["kept"]
    by_source = {f"{account.source} ({account.format})": dict(sorted(account.tally.items())) for account in accounts}
    return {"total": dict(sorted(total.items())), "licences": dict(sorted(licences.items())), "sources": by_source}


def _breaches(source: Source, account: _Account, bound: float) -> list[str]:
    tally, format = account.tally, source.format
    if not tally["records"]:
        return [f"{source.path}: holds no record of format {format}; fetch it again or take it away"]
    share = tally["refused"] / tally["records"]
    if share <= bound and (tally["kept"] or tally["forgotten"]):
        return []
    reasons = [f"{reason} ({tally[f'refused: {reason}']}: line {_some(account, reason)})" for reason in account.refused]
    count = f"{source.path}: {tally['refused']} of {tally['records']} records of format {format} are refused: {'; '.join(reasons)}"
    if not tally["kept"]:
        return [f"{count}; {glance(source.path)}; correct it, or state its format in ingest.formats"]
    remedy = f"correct them, state another format in ingest.formats, or raise ingest.max_refused to {ceil(share * 1000) / 1000:g}"
    return [f"{count}; {remedy} (now {bound:g})"]


def _some(account: _Account, reason: str) -> str:
    return ", ".join(map(str, account.refused[reason])) + ", …" * (account.tally[f"refused: {reason}"] > SHOWN)


def _all_there(sources: Path, accounts: list[_Account]) -> None:
    for kind, name in SETS.items():
        if kind is not Ranking and not any(account.tally[name] for account in accounts):
            raise DataError(f"{sources}: no file holds {name}, and training needs some; add {kind.__name__} records (data/README.md)")
