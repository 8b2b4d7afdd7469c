"""How many rows of the prepared data the context would leave out or cut, and how long they are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

from transformers import PreTrainedTokenizerBase

from alignloop.checks.findings import Finding, error
from alignloop.core.tokens import Encoded, encode_dialogue, encode_prompt, encode_text
from alignloop.data import record_files
from alignloop.errors import AlignloopError
from alignloop.params import Params
from alignloop.records import Demonstration, Document, Prompt, Record
from alignloop.training.encoding import chat

LOOKED_AT = 1_000  # records of a set: encoding them takes a second
DATA = Path("data")


@dataclass(frozen=True)
class SetLengths:
    """A set's records, and the mean tokens of those that were looked at, and of the responses in them."""

    records: int
    tokens: float
    response: float = 0.0


def check_lengths(
    params: Params, tokenizer: PreTrainedTokenizerBase, context: int, data: Path = DATA
) -> tuple[dict[str, SetLengths], list[Finding]]:
    """The lengths of each set that is prepared, by its name, and what does not fit into the context."""
    room = context - params.decoding.max_new_tokens
    if room <= 0:
        said = (
            f"decoding.max_new_tokens: {params.decoding.max_new_tokens} leave no room in the context of "
            f"{context} tokens; lower them"
        )
        return {}, [error("context", said)]

    def of_prompt(record: Record) -> Encoded:
        assert isinstance(record, Prompt)
        ids = encode_prompt(tokenizer, chat(record.messages))
        return Encoded(ids, [False] * len(ids))

    def of_demonstration(record: Record) -> Encoded:
        assert isinstance(record, Demonstration)
        return encode_dialogue(tokenizer, chat(record.messages), "last")

    def of_document(record: Record) -> Encoded:
        assert isinstance(record, Document)
        text = record.text or "\n".join(message.content for message in record.messages or ())
        return encode_text(tokenizer, text)

    sets: tuple[tuple[str, type[Record], Callable[[Record], Encoded], int], ...] = (
        ("prompts", Prompt, of_prompt, room),
        ("demonstrations", Demonstration, of_demonstration, context),
        ("corpus", Document, of_document, context),
    )
    known: dict[str, SetLengths] = {}
    found: list[Finding] = []
    for name, kind, encode, limit in sets:
        try:
            rows = list(_rows(data / name / "train.jsonl", kind, encode))
        except AlignloopError as fault:
            found.append(Finding("context", "warning", f"{name}: not looked at: {fault}"))
            continue
        if not rows:
            continue
        lengths = [len(row.ids) for row in rows]
        records = record_files.count(data / name / "train.jsonl")
        known[name] = SetLengths(records, fmean(lengths), fmean(sum(row.mask) for row in rows))
        found.append(_fit(name, lengths, limit, records))
    if not known and not found:
        found.append(
            Finding(
                "context",
                "note",
                f"{context:,} tokens; the data is not prepared yet, so its lengths are not known",
                "run the doctor again after `make run ARGS=--data-only`",
            )
        )
    return known, found


def _rows(file: Path, kind: type[Record], encode: Callable[[Record], Encoded]) -> Iterator[Encoded]:
    if not file.exists():
        return
    for record in islice(record_files.stream(file, kind, allow_empty=True), LOOKED_AT):
        yield encode(record)


def _fit(name: str, lengths: list[int], limit: int, records: int) -> Finding:
    long = sum(length > limit for length in lengths)
    of = f"{len(lengths):,}" if len(lengths) == records else f"the first {len(lengths):,} of {records:,}"
    said = f"{name}: {fmean(lengths):.0f} tokens on average, {max(lengths):,} at most ({of})"
    if not long:
        return Finding("context", "ok", f"{said}; all fit into {limit:,} tokens")
    verb = "cut into several rows" if name == "corpus" else "left out"
    severity = "warning" if name != "corpus" and long > len(lengths) // 10 else "note"
    return Finding(
        "context",
        severity,
        f"{said}; {long:,} are longer than {limit:,} tokens and {verb}",
        "nothing, if that is few; else lower validate.max_characters or decoding.max_new_tokens, or take a "
        "checkpoint with a longer context",
    )
