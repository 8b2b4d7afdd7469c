"""From raw records to the sets that models learn from: personal data redacted, over-long and repeated texts out, split by user.

A user is in one split, and so is a prompt's text, whoever wrote it: where users of several splits wrote the same, test keeps it
before valid, and valid before train, so that what measures is never learned. The corpus has no users: equal documents go together,
none is dropped (how often a thing is said is part of a corpus), and long ones stay, for they are cut to the model's context later.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignloop import params as parameters
from alignloop.io.datasets import DataError, read, split_of, write
from alignloop.io.files import replacing, write_json
from alignloop.io.identity import identify, wording
from alignloop.io.privacy import found, redact
from alignloop.params import Params
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking, Record, Split
from alignloop.stages.progress import Progress

SPLITS: tuple[Split, ...] = ("train", "valid", "test")  # the later, the cleaner it must be
NEEDED = {"prompts": {"train", "test"}, "demonstrations": {"train"}, "corpus": {"train", "valid"}}


@dataclass(frozen=True)
class Entry:
    """A redacted record on its way: its user and split, its prompt's wording, its length, and what two repeats have in common."""

    record: Record
    user: str
    split: Split
    asked: str
    characters: int
    content: tuple[object, ...]


def prepare(
    params: Params, raw: Path, prompts: Path, demonstrations: Path, corpus: Path, rankings: Path, metrics: Path
) -> Iterator[Progress]:
    """Write prompts and demonstrations (train, valid, test), the corpus (train, valid) and imported rankings; count what was dropped."""
    tallies = {name: Counter[str]() for name in ("prompts", "demonstrations", "rankings", "corpus")}
    entries = _entries(raw, params.prepare, tallies)
    documents = list(_documents(raw, tallies["corpus"]))
    tallies["corpus"]["raw"] = len(documents)
    yield Progress(1, 3)
    entries = _sift(entries, params.validate_.max_characters, params.prepare.prompts_per_user, tallies)
    yield Progress(2, 3)
    for name, out in (("prompts", prompts), ("demonstrations", demonstrations)):
        _write(out, name, {split: [each.record for each in entries[name] if each.split == split] for split in SPLITS}, tallies[name])
    places = [split_of(_said(document), params.prepare.valid, 0.0) for document in documents]
    pieces = {split: [document for document, place in zip(documents, places, strict=True) if place == split] for split in SPLITS[:2]}
    _write(corpus, "corpus", pieces, tallies["corpus"])
    write(rankings / "imported.jsonl", (each.record.model_copy(update={"split": each.split}) for each in entries["rankings"]))
    tallies["rankings"].update(each.split for each in entries["rankings"])
    write_json(metrics, {name: dict(sorted(tally.items())) for name, tally in tallies.items()})
    yield Progress(3, 3, {f"{name} {split}": tally[split] for name, tally in tallies.items() for split in SPLITS})


def _entries(raw: Path, plan: parameters.Prepare, tallies: dict[str, Counter[str]]) -> dict[str, list[Entry]]:
    def entry(record: Record, user: str, asked: tuple[Message, ...], answers: tuple[str, ...] = (), judged: object = None) -> Entry:
        text = wording((message.role, message.content) for message in asked)
        characters = sum(len(message.content) for message in asked) + max(map(len, answers), default=0)
        return Entry(record, user, split_of(user, plan.valid, plan.test), text, characters, (text, answers, judged))

    shown, ranked = _demonstrations(raw, tallies["demonstrations"]), _rankings(raw, tallies["rankings"])
    return {
        "prompts": [entry(each, each.user, each.messages) for each in _prompts(raw, tallies["prompts"])],
        "demonstrations": [entry(each, each.user, each.messages[:-1], (each.messages[-1].content,)) for each in shown],
        "rankings": [entry(each, each.prompt.user, each.prompt.messages, each.responses, (each.labeler, each.ranks)) for each in ranked],
    }


def _sift(entries: dict[str, list[Entry]], longest: int, cap: int, tallies: dict[str, Counter[str]]) -> dict[str, list[Entry]]:
    """Drop what must not be learned from, in a fixed order, and count why."""
    place: dict[str, int] = {}
    for entry in (entry for each in entries.values() for entry in each):
        place[entry.asked] = max(place.get(entry.asked, 0), SPLITS.index(entry.split))
    kept: dict[str, list[Entry]] = {}
    for name, each in entries.items():
        seen: set[tuple[object, ...]] = set()
        wrote: Counter[str] = Counter()
        reasons: dict[str, Callable[[Entry], bool]] = {
            "too long": lambda entry: entry.characters > longest,
            "in another split": lambda entry: SPLITS[place[entry.asked]] != entry.split,
            "repeated": lambda entry, seen=seen: entry.content in seen,
            "over the user's cap": lambda entry, wrote=wrote: wrote[entry.user] >= cap,
        }
        tally = tallies[name]
        tally.update({"raw": len(each)} | dict.fromkeys(reasons, 0))
        kept[name] = []
        for entry in each:
            reason = next((reason for reason, holds in reasons.items() if holds(entry)), None)
            if reason:
                tally[reason] += 1
                continue
            seen.add(entry.content)
            wrote[entry.user] += 1
            kept[name].append(entry)
        tally["users"] = len(wrote)
    return kept


def _write(out: Path, name: str, splits: Mapping[str, Sequence[Record]], tally: Counter[str]) -> None:
    with replacing(out) as part:
        for split, records in splits.items():
            if not records and split in NEEDED[name]:
                advice = "add data of more users, or change prepare.valid and prepare.test"
                raise DataError(f"{out / split}.jsonl: of {tally['raw'] or 'all'} {name} none is left for this split; {advice}")
            tally[split] = write(part / f"{split}.jsonl", records)


def _prompts(raw: Path, tally: Counter[str]) -> Iterator[Prompt]:
    return (_prompt(prompt, tally) for prompt in read(raw / "prompts.jsonl", Prompt))


def _demonstrations(raw: Path, tally: Counter[str]) -> Iterator[Demonstration]:
    for each in read(raw / "demonstrations.jsonl", Demonstration):
        yield each.model_copy(update={"messages": _messages(each.messages, tally), "user": _user(each.user, tally)})


def _rankings(raw: Path, tally: Counter[str]) -> Iterator[Ranking]:
    for each in read(raw / "rankings.jsonl", Ranking, allow_empty=True):
        responses = tuple(_clean(response, tally) for response in each.responses)
        yield each.model_copy(update={"prompt": _prompt(each.prompt, tally), "responses": responses})


def _documents(raw: Path, tally: Counter[str]) -> Iterator[Document]:
    for each in read(raw / "documents.jsonl", Document):
        text = None if each.text is None else _clean(each.text, tally)
        yield each.model_copy(update={"text": text, "messages": each.messages and _messages(each.messages, tally)})


def _prompt(prompt: Prompt, tally: Counter[str]) -> Prompt:
    return prompt.model_copy(update={"messages": _messages(prompt.messages, tally), "user": _user(prompt.user, tally)})


def _messages(messages: tuple[Message, ...], tally: Counter[str]) -> tuple[Message, ...]:
    return tuple(message.model_copy(update={"content": _clean(message.content, tally)}) for message in messages)


def _clean(text: str, tally: Counter[str]) -> str:
    clean, counts = redact(text)
    tally.update({f"redacted {kind}": count for kind, count in counts.items()})
    return clean


def _user(user: str, tally: Counter[str]) -> str:
    """The user's id, or a pseudonym of it where the id is personal data itself: the same one wherever the user appears."""
    if not found(user):
        return user
    tally["redacted user ids"] += 1
    return identify("user", user)


def _said(document: Document) -> str:
    return document.text if document.text is not None else wording((turn.role, turn.content) for turn in document.messages or ())
