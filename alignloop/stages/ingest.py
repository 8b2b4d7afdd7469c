"""Bring every source into the four record types: the embedded world, or whatever files lie in the sources' directory.

A ranking's prompt, and a demonstration's, is a prompt too: PPO needs prompts and no labels, so each enters `prompts` once. Where a
source knows no user, the importer makes the conversation one. What a source holds and we cannot use is refused, counted by
reason, and stops the stage when it is more than `ingest.max_refused` of that source.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fnmatch import fnmatch
from math import ceil
from pathlib import Path
from typing import IO

from alignloop.io import datasets
from alignloop.io.datasets import DataError
from alignloop.io.files import replacing, write_json
from alignloop.io.identity import identify
from alignloop.io.importers import FORMATS, Item, Refused, sniff
from alignloop.params import Params
from alignloop.records import Demonstration, Document, Prompt, Ranking, Record
from alignloop.stages.progress import Progress
from alignloop.world.generate import make_world

SETS: dict[type[Record], str] = {Document: "documents", Prompt: "prompts", Demonstration: "demonstrations", Ranking: "rankings"}
SHOWN = 5  # lines named per reason in a message


def ingest(params: Params, sources: Path, out: Path, metrics: Path) -> Iterator[Progress]:
    """Write documents, prompts, demonstrations and rankings, and how many of each source were kept and refused."""
    plan = params.ingest
    formats = {} if plan.source == "world" else _formats(sources, plan.formats)
    counts: dict[str, Counter[str]] = {}
    breaches: list[str] = []
    with replacing(out) as part:
        part.mkdir()
        with ExitStack() as stack:
            raw = _Raw({kind: stack.enter_context(_open(part / f"{name}.jsonl")) for kind, name in SETS.items()})
            if plan.source == "world":
                world = make_world(params.seed, plan.world)
                counts["world"] = raw.keep((0, record) for record in (*world.documents, *world.prompts, *world.demonstrations))[0]
                yield Progress(1, 1, counts["world"])
            for done, (name, format) in enumerate(formats.items(), 1):
                tally, refused = raw.keep(FORMATS[format].read(sources / name, name))
                counts[f"{name} ({format})"] = tally
                breaches += _breaches(sources / name, format, tally, refused, plan.max_refused)
                yield Progress(done, len(formats), {name: tally[name] for name in (*SETS.values(), "refused")})
        if breaches:
            raise DataError("\n".join(breaches))
        _all_there(sources, counts)
    total = sum(counts.values(), Counter())
    by_source = {name: dict(sorted(tally.items())) for name, tally in counts.items()}
    write_json(metrics, {"total": dict(sorted(total.items())), "sources": by_source})


class _Raw:
    """The four open files, and which prompts they hold already."""

    def __init__(self, files: dict[type[Record], IO[str]]):
        self._files = files
        self._prompts: set[str] = set()

    def keep(self, items: Iterable[Item]) -> tuple[Counter[str], dict[str, list[int]]]:
        """Write a source's records and the prompts in them; count what was kept, and list the lines refused by reason."""
        tally, refused = Counter[str](), defaultdict[str, list[int]](list)
        for line, item in items:
            tally["records"] += 1
            if isinstance(item, Refused):
                refused[item.reason].append(line)
                tally["refused"] += 1
                tally[f"refused: {item.reason}"] += 1
                continue
            self._write(item, tally)
            if isinstance(item, Ranking):
                self._write_new(item.prompt, tally)
            if isinstance(item, Demonstration) and item.source != "world":
                self._write_new(_prompt_of(item), tally)
        return tally, refused

    def _write(self, record: Record, tally: Counter[str]) -> None:
        if isinstance(record, Prompt):
            self._prompts.add(_signature(record))
        self._files[type(record)].write(datasets.line_of(record))
        tally[SETS[type(record)]] += 1

    def _write_new(self, prompt: Prompt, tally: Counter[str]) -> None:
        if _signature(prompt) in self._prompts:
            tally["prompts met again"] += 1
        else:
            self._write(prompt, tally)


def _signature(prompt: Prompt) -> str:
    return identify(prompt.id, prompt.user, *(f"{message.role}:{message.content}" for message in prompt.messages))


def _prompt_of(demonstration: Demonstration) -> Prompt:
    asked = demonstration.messages[:-1]
    name = identify("prompt", demonstration.user, *(message.content for message in asked))
    about = demonstration.model_dump(include={"user", "category", "time", "source"})
    return Prompt(id=name, messages=asked, **about)


def _open(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")


def _formats(sources: Path, stated: dict[str, str]) -> dict[str, str]:
    """Each source's name, relative and in order, and its format: as stated by the first pattern that fits, else by its content."""
    names = sorted(path.relative_to(sources).as_posix() for path in sources.rglob("*") if path.is_file())
    for pattern, format in stated.items():
        if format not in (*FORMATS, "skip"):
            raise DataError(f"ingest.formats: {pattern}: there is no format '{format}'; known are {', '.join(FORMATS)} and skip")
        if not any(_fits(name, pattern) for name in names):
            raise DataError(f"ingest.formats: no file in {sources} is called {pattern}; correct the pattern or remove it")
    formats = {}
    for name in names:
        given = next((format for pattern, format in stated.items() if _fits(name, pattern)), None)
        unasked = any(part.startswith(".") for part in Path(name).parts) or Path(name).stem.upper() in ("README", "LICENSE")
        if given != "skip" and (given or not unasked):
            formats[name] = given or sniff(sources / name)
    if not formats:
        aside = "hidden files, README and LICENSE do not count"
        raise DataError(f"{sources}: holds no data ({aside}); drop files there, or set ingest.source: world in params.yaml")
    return formats


def _fits(name: str, pattern: str) -> bool:
    return fnmatch(name, pattern) or fnmatch(Path(name).name, pattern)


def _breaches(path: Path, format: str, tally: Counter[str], refused: dict[str, list[int]], bound: float) -> list[str]:
    if not tally["records"]:
        return [f"{path}: holds no record of format {format}; fetch it again or take it away"]
    share = tally["refused"] / tally["records"]
    if share <= bound:
        return []
    reasons = [f"{reason} ({len(lines)}: line {_some(lines)})" for reason, lines in refused.items()]
    remedy = f"correct them, state another format in ingest.formats, or raise ingest.max_refused to {ceil(share * 1000) / 1000:g}"
    count = f"{tally['refused']} of {tally['records']} records of format {format} are refused"
    return [f"{path}: {count}: {'; '.join(reasons)}; {remedy} (now {bound:g})"]


def _some(lines: list[int]) -> str:
    return ", ".join(map(str, lines[:SHOWN])) + ", …" * (len(lines) > SHOWN)


def _all_there(sources: Path, counts: dict[str, Counter[str]]) -> None:
    for kind, name in SETS.items():
        if kind is not Ranking and not any(tally[name] for tally in counts.values()):
            raise DataError(f"{sources}: no file holds {name}, and training needs some; add {kind.__name__} records (data/README.md)")
